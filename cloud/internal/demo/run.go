package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"golang.org/x/sync/errgroup"
)

var errEnded = errors.New("a process ended by itself")

// run plays the line until its parts are done, a person stops it or a process ends.
func (f *chain) run(ctx context.Context, controller *plc) error {
	ctx, stopLine := context.WithCancel(ctx)
	defer stopLine()
	group, lineCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.watch(lineCtx) })
	group.Go(func() error { f.poll(lineCtx); return nil })
	if !f.options.Live {
		_, _ = fmt.Fprintln(f.options.Stdout, f.places.String())
		group.Go(func() error {
			defer stopLine()
			return controller.run(lineCtx, f.options.Parts, f.options.Interval)
		})
		return group.Wait()
	}
	screen := tea.NewProgram(live{
		tally: f.tally, places: f.places, goal: f.options.Parts, patience: controller.patience(),
		quit: stopLine,
	}, tea.WithOutput(f.options.Stdout), tea.WithoutSignalHandler())
	group.Go(func() error {
		defer screen.Quit()
		defer stopLine()
		return controller.run(lineCtx, f.options.Parts, f.options.Interval)
	})
	_, err := screen.Run()
	stopLine()
	return errors.Join(err, group.Wait())
}

// watch ends the line when a process ends by itself.
func (f *chain) watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-f.agent.done:
		return fmt.Errorf("sightline-agent, see %s: %w", f.agent.log.Name(), errors.Join(errEnded, err))
	case err := <-f.cloud.done:
		return fmt.Errorf("sightline-cloud, see %s: %w", f.cloud.log.Name(), errors.Join(errEnded, err))
	}
}

// poll takes over the agent's own count of verdicts for display.
func (f *chain) poll(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.countVerdicts(ctx)
		}
	}
}

func (f *chain) countVerdicts(ctx context.Context) {
	n, err := verdicts(ctx, f.places.Metrics)
	if err != nil {
		f.log.WarnContext(ctx, "agent's metrics not read", "error", err)
		return
	}
	f.tally.SetVerdicts(n)
}

package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"github.com/sightline-edge/sightline/agent/event"
)

const (
	recentParts = 12
	refresh     = 150 * time.Millisecond
)

// describe is one part as a line: id, verdict, time, what was found and what was there.
func describe(p *Part) string {
	words := make([]string, 0, len(p.Result.Defects)+1)
	for _, d := range p.Result.Defects {
		words = append(words, fmt.Sprintf("%s %.2f", d.Class, d.Score))
	}
	if p.Result.Reason != "" {
		words = append(words, strings.TrimSpace(p.Result.Reason+" "+p.Result.Detail))
	}
	if p.Drawn > 0 || len(p.Result.Defects) > 0 {
		words = append(words, fmt.Sprintf("(%d of %d drawn)", p.Found, p.Drawn))
	}
	return fmt.Sprintf("%s  %-7s %4d ms  %s",
		p.ID, p.Result.Verdict, p.Latency.Milliseconds(), strings.Join(words, ", "))
}

// plain prints a line for each part, for pipes and logs.
type plain struct{ out io.Writer }

func (v plain) part(p Part) { _, _ = fmt.Fprintln(v.out, describe(&p)) }

// live is the terminal view: it redraws from the tally until the person quits.
type live struct {
	tally    *Tally
	places   places
	goal     int
	patience time.Duration // with a part under way
	quit     func()
	width    int
}

// places are what a person may want to open.
type places struct{ Folder, Evidence, CloudEvidence, LineBroker, CloudBroker, Kafka, Metrics string }

type tick time.Time

func (l live) Init() tea.Cmd { return next() }

func next() tea.Cmd { return tea.Tick(refresh, func(t time.Time) tea.Msg { return tick(t) }) }

func (l live) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case tick:
		return l, next()
	case tea.WindowSizeMsg:
		l.width = m.Width
	case tea.KeyMsg:
		if k := m.String(); k == "ctrl+c" || k == "q" {
			l.quit()
		}
	}
	return l, nil
}

func (l live) View() string {
	s := l.tally.Summarize(recentParts)
	var b strings.Builder
	title := lipgloss.NewStyle().Bold(true).Render("Sightline demo")
	fmt.Fprintf(
		&b,
		"%s  simulated line, real agent, worker, ONNX Runtime and bridge; Ctrl-C stops\n\n",
		title,
	)
	underWay, lost := l.tally.UnderWay(time.Now(), l.patience)
	fmt.Fprintf(&b, "  parts %s   verdicts %d   PLC %d   Kafka %d\n",
		l.progress(s.Parts), s.Verdicts, s.PLC, s.Kafka)
	fmt.Fprintf(&b, "  under way %d   lost %s   duplicated %s   trigger to verdict p50 %d ms, p99 %d ms\n",
		underWay, alarm(lost > 0, lost), alarm(s.Duplicated > 0, s.Duplicated),
		s.P50.Milliseconds(), s.P99.Milliseconds())
	for _, v := range []event.Verdict{event.Pass, event.Fail, event.Rework, event.Unknown} {
		fmt.Fprintf(&b, "  %s %d ", colour(v), s.Kinds[v])
	}
	fmt.Fprintf(&b, "  false alarms %d\n", s.FalseAlarm)
	fmt.Fprintf(&b, "  drawn defects found %d of %d   %s\n", s.Found, s.Drawn, s.FirstVerdict())
	b.WriteString(waitingLine(s.Waiting))
	for i := range s.Recent {
		p := &s.Recent[i]
		line := strings.Replace(describe(p), string(p.Result.Verdict), colour(p.Result.Verdict), 1)
		b.WriteString("  " + lipgloss.NewStyle().MaxWidth(max(l.width-2, 40)).Render(line) + "\n")
	}
	b.WriteString(strings.Repeat("\n", max(0, recentParts-len(s.Recent))))
	faint := lipgloss.NewStyle().Faint(true)
	b.WriteString("\n" + faint.Render(l.places.String()) + "\n")
	return b.String()
}

func (l live) progress(parts int) string {
	if l.goal == 0 {
		return strconv.Itoa(parts)
	}
	const cells = 20
	done := min(cells, parts*cells/l.goal)
	return fmt.Sprintf(
		"%d/%d %s%s",
		parts,
		l.goal,
		strings.Repeat("█", done),
		strings.Repeat("░", cells-done),
	)
}

func (p places) String() string {
	return fmt.Sprintf("  pictures      %s\n  logs, config  %s\n  line broker   %s\n"+
		"  cloud broker  %s (embedded, for demonstration)\n"+
		"  Kafka         %s (embedded, for demonstration)\n"+
		"  metrics       %s", p.Evidence, p.Folder, p.LineBroker, p.CloudBroker, p.Kafka, p.Metrics)
}

func colour(v event.Verdict) string {
	ansi := map[event.Verdict]string{
		event.Pass: "2", event.Fail: "1", event.Rework: "3", event.Unknown: "5",
	}[v]
	return lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Color(ansi)).Render(string(v))
}

// waitingLine is the line for what the PLC waits for, which stays free when that is nothing.
func waitingLine(what string) string {
	if what == "" {
		return "\n"
	}
	return "  waiting for the station: " + what + "\n"
}

func alarm(on bool, n int) string {
	if !on {
		return strconv.Itoa(n)
	}
	return lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Color("1")).Render(strconv.Itoa(n))
}

package infer

import (
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// newCandidate reads the models of a bundle, the second one's with them.
func newCandidate(b *bundle.Bundle) (*candidate, error) {
	c := &candidate{
		Bundle: b, own: b.Manifest.First(), models: map[string]model{},
		plan: tensor.NewPlan(b.Manifest.Input, b.Manifest.Preprocess),
	}
	for _, p := range b.Manifest.Providers.Order {
		if err := c.read(p.Model); err != nil {
			return nil, err
		}
		ports := c.models[p.Model].ports
		if err := ports.takes(p.Batch); err != nil {
			return nil, fmt.Errorf("%s on %s: %w", c.ModelPath(p.Model), p.Name, err)
		}
	}
	if second := b.Second(); second != nil {
		var err error
		if c.second, err = newCandidate(second); err != nil {
			return nil, fmt.Errorf("second model: %w", err)
		}
	}
	return c, nil
}

// openCrops opens the second model, if there is one, on the provider of the first, for so many frames. Crops
// come by the dozen: a batch may gain whatever the station.
func (l *Loader) openCrops(c *candidate, p bundle.Provider, frames int) (*crops, error) {
	if c.second == nil {
		return nil, nil //nolint:nilnil // no second model, and none wanted
	}
	many := *l
	many.Batches = true
	s, err := many.open(c.second, c.Manifest.Then.On(p))
	if err != nil {
		return nil, fmt.Errorf("second model: %w", err)
	}
	return newCrops(&c.Manifest, s, frames), nil
}

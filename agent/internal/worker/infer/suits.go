package infer

import (
	"errors"

	"github.com/sightline-edge/sightline/models/bundle"
)

var errOpenRows = errors.New("openvino ends its process (2025.4.1) where outputs of as many rows as are " +
	"found are bounded behind a model: export the model up to boxes and scores of fixed sizes, or take " +
	"openvino out of providers.order")

// suits says why a provider must not be tried with a model that others run.
func (c *contract) suits(p bundle.Provider) error {
	if p.Name == bundle.ProviderOpenVINO && len(c.rows) > 0 {
		return errOpenRows
	}
	return nil
}

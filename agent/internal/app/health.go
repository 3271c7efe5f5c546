package app

import "context"

func (a *agent) startHealth(context.Context) error {
	a.metrics.registry.MustRegister(newCounts(a))
	return nil
}

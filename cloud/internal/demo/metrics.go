package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	partsMetric     = "sightline_parts_total" // by station and verdict
	maxMetricsBytes = 4 << 20
)

// verdicts asks the agent how many it has given.
func verdicts(ctx context.Context, url string) (uint64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("ask %s: %w", url, err)
	}
	client := http.Client{Timeout: time.Second}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask %s: %w", url, err)
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(response.Body, maxMetricsBytes))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", url, err)
	}
	sum := 0.0
	for _, m := range families[partsMetric].GetMetric() {
		sum += m.GetCounter().GetValue()
	}
	return uint64(sum), nil
}

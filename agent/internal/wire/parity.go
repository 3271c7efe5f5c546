package wire

// ParityOrder is what the worker's program parity reads: which bundle to run, with what.
type ParityOrder struct {
	Bundle      string `json:"bundle"` // its folder
	Policy      string `json:"policy,omitempty"`
	Library     string `json:"library,omitempty"` // of ONNX Runtime
	Threads     int    `json:"threads"`
	MemoryLimit uint64 `json:"memory_limit,omitempty"` // bytes of address space, 0: none
}

// Parity is what a node's execution provider makes of a bundle's golden samples, beside what is expected, and
// beside what the CPU makes of them with the same model.
type Parity struct {
	Provider       string         `json:"provider"`
	Model          string         `json:"model"` // file of the bundle
	FallbackReason string         `json:"fallback_reason,omitempty"`
	CPUReason      string         `json:"cpu_reason,omitempty"` // why the CPU does not run the model
	Samples        []SampleParity `json:"samples"`
}

// SampleParity is one golden sample.
type SampleParity struct {
	Image    string `json:"image"`
	Expected *Apart `json:"expected,omitempty"`
	CPU      *Apart `json:"cpu,omitempty"`   // absent where the provider is the CPU
	Fault    string `json:"fault,omitempty"` // why there is nothing to compare
}

// Apart is how far two lists of findings are from each other. Pairs are of one class and overlap.
type Apart struct {
	Wanted  int     `json:"wanted"`
	Found   int     `json:"found"`   // that reach their thresholds
	Missing int     `json:"missing"` // wanted, without a partner
	Extra   int     `json:"extra"`   // found, without a partner
	Box     float64 `json:"box_px"`  // the largest distance of two sides of a pair
	Score   float64 `json:"score"`   // the largest difference of a pair
	Area    float64 `json:"area"`    // the largest part of the wanted one, where areas are compared
	Beyond  string  `json:"beyond_tolerance,omitempty"`
}

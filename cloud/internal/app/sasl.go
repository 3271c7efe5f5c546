package app

import (
	"fmt"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// mechanism returns nil when no user is named.
func (k *Kafka) mechanism() (sasl.Mechanism, error) {
	password, err := k.Identity.password()
	if err != nil {
		return nil, err
	}
	if k.Identity.Username == "" {
		if k.Mechanism != "" {
			return nil, fmt.Errorf(
				"mechanism %s is set without username and would not be used: set both, or neither",
				k.Mechanism)
		}
		return nil, nil //nolint:nilnil // nobody in particular
	}
	switch k.Mechanism {
	case "", "plain":
		return plain.Mechanism{Username: k.Identity.Username, Password: password}, nil
	case "scram-sha-256":
		return scramOf(scram.SHA256, k.Identity.Username, password)
	case "scram-sha-512":
		return scramOf(scram.SHA512, k.Identity.Username, password)
	default:
		return nil, fmt.Errorf("mechanism %q is none of plain, scram-sha-256, scram-sha-512", k.Mechanism)
	}
}

func scramOf(hash scram.Algorithm, username, password string) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(hash, username, password)
	if err != nil {
		return nil, fmt.Errorf("prepare scram: %w", err)
	}
	return m, nil
}

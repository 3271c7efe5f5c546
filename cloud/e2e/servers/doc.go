// Package servers starts the real servers that end-to-end tests talk to: Apache Kafka and mosquitto.
//
// Every server listens on loopback only, keeps its data in the test's temporary directory, prints the
// tail of its log when the test fails, and has ended when the test's clean-up returns. Stop, Start,
// Kill, Pause and Resume make the outages that a factory network makes. With -short the calling test
// is skipped; when a server is not installed the test fails and says what to run.
package servers

// setupHint ends every message about a missing server.
const setupHint = "run scripts/setup --tests"

package servers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports lie below the range from which Linux takes the local port of an outgoing connection (32768 and
// up by default). Were a server's port inside it, a client that retries while the server is stopped
// could be given that very port, connect to itself, and keep the server from coming back.
const (
	firstPort = 20000
	lastPort  = 32000
)

// freePorts returns n different loopback ports on which nothing listens.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // a port is no secret
		listener, err := net.Listen("tcp", address(port)) //nolint:noctx // binding to loopback does not block
		if err != nil {
			continue
		}
		defer func() { _ = listener.Close() }() // held until all are found, so that they differ
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("no free loopback port between 20000 and 32000: end what listens there")
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

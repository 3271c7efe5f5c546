package servers

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
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
	ports := make(map[int]bool, n)
	for range 1000 {
		if len(ports) == n {
			return slices.Collect(maps.Keys(ports)), nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // a port is no secret
		if isFree(port) {
			ports[port] = true
		}
	}
	return nil, errors.New("no free loopback port between 20000 and 32000: end what listens there")
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp", address(port)) //nolint:noctx // binding to loopback does not block
	return err == nil && listener.Close() == nil
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

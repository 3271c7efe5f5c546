package servers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"
)

// mosquittoReady bounds a start; it takes 30 ms on two quiet cores.
const mosquittoReady = 20 * time.Second

// MosquittoOptions shapes a broker. The zero value lets anyone in, without encryption.
type MosquittoOptions struct {
	Users             map[string]string // name → password; anonymous clients are refused when set
	ACL               string            // an acl_file; without it every client may use every topic
	TLS               bool              // serve TLS with a certificate for 127.0.0.1 and localhost
	ClientCertificate bool              // with TLS, refuse clients that show none from the same authority
	Lines             []string          // further lines of mosquitto.conf, for the listener's section
	// Guide is a file for Debian's conf.d in place of all that stands here but Users, ACL and Lines: its
	// listener gets the test's port, and its files in /etc/mosquitto are those of the test.
	Guide string
}

// Mosquitto is one broker. Its queues have no bound and its store is on disk, as a bridge to the cloud
// needs it. Address and store survive Stop, Kill and Start. It is not safe for concurrent use.
type Mosquitto struct {
	tb     testing.TB
	binary string
	dir    string
	port   int
	opts   MosquittoOptions
	certs  *certificates
	proc   *process
}

// StartMosquitto starts a broker that lives as long as the test.
func StartMosquitto(tb testing.TB, opts MosquittoOptions) *Mosquitto {
	tb.Helper()
	leaveOutWhenShort(tb)
	m := &Mosquitto{tb: tb, dir: tb.TempDir(), opts: opts}
	var err error
	m.binary, err = locateMosquitto("mosquitto")
	must(tb, "find mosquitto", err)
	ports, err := freePorts(1)
	must(tb, "choose a port", err)
	m.port = ports[0]
	if opts.TLS {
		m.certs, err = newCertificates(m.dir)
		must(tb, "make certificates", err)
	}
	must(tb, "configure mosquitto", m.configure())
	tb.Cleanup(m.finish)
	m.Start()
	return m
}

// Addr is the broker's address, host:port.
func (m *Mosquitto) Addr() string { return address(m.port) }

// URL is the broker's address as paho takes it: tcp:// or ssl://.
func (m *Mosquitto) URL() string {
	if m.opts.TLS {
		return "ssl://" + m.Addr()
	}
	return "tcp://" + m.Addr()
}

// TLSConfig is what a client needs to connect, its own certificate included; nil without TLS.
func (m *Mosquitto) TLSConfig() *tls.Config {
	if m.certs == nil {
		return nil
	}
	return m.certs.client()
}

// Files are the paths of the authority's certificate and of the client's certificate and key, all PEM.
func (m *Mosquitto) Files() (authority, certificate, key string) {
	return filepath.Join(m.dir, "ca.pem"), filepath.Join(m.dir, "client.pem"),
		filepath.Join(m.dir, "client.key")
}

// Start runs the broker on its port and store and returns when it listens.
func (m *Mosquitto) Start() {
	m.tb.Helper()
	p, err := spawn(m.binary, "-c", m.config())
	must(m.tb, "start mosquitto", err)
	m.proc = p
	// The line is written after the store is read and the listener bound.
	must(m.tb, "start mosquitto", p.await(mosquittoReady, func(context.Context) error {
		if strings.Contains(p.log.String(), " running") {
			return nil
		}
		return errors.New("it has not said that it runs")
	}))
}

// Stop ends the broker in order; it writes its store.
func (m *Mosquitto) Stop() { m.tb.Helper(); must(m.tb, "stop mosquitto", m.proc.stop()) }

// Kill ends the broker as a power cut does; what it had not yet written to its store is gone.
func (m *Mosquitto) Kill() { m.tb.Helper(); must(m.tb, "kill mosquitto", m.proc.kill()) }

// Pause freezes the broker: connections stay open and nothing answers.
func (m *Mosquitto) Pause() { m.tb.Helper(); must(m.tb, "pause mosquitto", pause(m.proc)) }

// Resume lets a paused broker go on.
func (m *Mosquitto) Resume() { m.tb.Helper(); must(m.tb, "resume mosquitto", resume(m.proc)) }

// Log is the end of what the broker has said since its last start.
func (m *Mosquitto) Log() string { return m.proc.log.String() }

func (m *Mosquitto) finish() {
	if err := m.proc.stop(); err != nil {
		m.tb.Errorf("stop mosquitto: %v", err)
	}
	m.proc.show(m.tb, "mosquitto")
}

func (m *Mosquitto) config() string { return filepath.Join(m.dir, "mosquitto.conf") }

func (m *Mosquitto) configure() error {
	lines := []string{
		"persistence true",
		"persistence_location " + m.dir + "/",
		"autosave_interval 5",
		"log_dest stderr",
		"log_type error", "log_type warning", "log_type notice", "log_type information",
	}
	if os.Geteuid() == 0 {
		lines = append(lines, "user root") // it would give up root and lose sight of the test's folder
	}
	if err := m.writeAccess(); err != nil {
		return err
	}
	if m.opts.Guide != "" {
		lines = append(lines, m.guided())
	} else {
		lines = append(lines, m.listener()...)
	}
	lines = append(lines, m.opts.Lines...)
	return os.WriteFile(m.config(), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// guided is the guide's file with the test's port and folder.
func (m *Mosquitto) guided() string {
	text := strings.ReplaceAll(m.opts.Guide, "/etc/mosquitto/", m.dir+"/")
	text = regexp.MustCompile(`(?m)^acl_file .*`).ReplaceAllString(text, "acl_file "+m.aclFile())
	return regexp.MustCompile(`(?m)^listener .*`).
		ReplaceAllString(text, fmt.Sprintf("listener %d 127.0.0.1", m.port))
}

func (m *Mosquitto) passwordFile() string { return filepath.Join(m.dir, "passwords") }

func (m *Mosquitto) aclFile() string { return filepath.Join(m.dir, "acl") }

// writeAccess writes the files that the listener's section names.
func (m *Mosquitto) writeAccess() error {
	if len(m.opts.Users) > 0 {
		if err := writePasswords(m.passwordFile(), m.opts.Users); err != nil {
			return err
		}
	}
	if m.opts.ACL == "" {
		return nil
	}
	return os.WriteFile(m.aclFile(), []byte(m.opts.ACL), 0o600)
}

// listener returns the lines of its section, and what must stand before.
func (m *Mosquitto) listener() []string {
	lines := []string{
		"per_listener_settings true",
		"max_inflight_messages 0",
		"max_queued_messages 0",
		fmt.Sprintf("listener %d 127.0.0.1", m.port),
	}
	if len(m.opts.Users) == 0 {
		lines = append(lines, "allow_anonymous true")
	} else {
		lines = append(lines, "allow_anonymous false", "password_file "+m.passwordFile())
	}
	if m.opts.ACL != "" {
		lines = append(lines, "acl_file "+m.aclFile())
	}
	if m.opts.TLS {
		lines = append(lines,
			"cafile "+filepath.Join(m.dir, "ca.pem"),
			"certfile "+filepath.Join(m.dir, "server.pem"),
			"keyfile "+filepath.Join(m.dir, "server.key"),
			fmt.Sprintf("require_certificate %t", m.opts.ClientCertificate))
	}
	return lines
}

// writePasswords lets mosquitto's own tool hash them.
func writePasswords(path string, users map[string]string) error {
	tool, err := locateMosquitto("mosquitto_passwd")
	if err != nil {
		return err
	}
	var plain strings.Builder
	for _, name := range sortedNames(users) {
		fmt.Fprintf(&plain, "%s:%s\n", name, users[name])
	}
	if err = os.WriteFile(path, []byte(plain.String()), 0o600); err != nil {
		return err
	}
	output, err := exec.CommandContext(context.Background(), tool, "-U", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("hash passwords: %w: %s", err, output)
	}
	return nil
}

func sortedNames(users map[string]string) []string {
	names := make([]string, 0, len(users))
	for name := range users {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// locateMosquitto finds a program of the mosquitto package; Debian keeps the broker in /usr/sbin, which
// is not on every user's PATH.
func locateMosquitto(program string) (string, error) {
	for _, candidate := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no %s on PATH: %s", program, setupHint)
}

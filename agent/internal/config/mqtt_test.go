package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/config"
)

// brokers parses a configuration whose mqtt, on its third line, has these keys beside a client id.
func brokers(keys string) (*config.Loaded, error) {
	return config.Parse([]byte("\nplace: acme/dongguan/smt\nmqtt: {client_id: node7, " + keys + "}\n" +
		"stations:\n  - {name: line3/aoi-1, camera: 'sim:', bundle: pcb-defects}\n"))
}

// secret is a file that is there.
func secret(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	return path
}

// What is meant for one broker never reaches the other, unless one set of keys is all there is.
func TestEachBrokerIsShownItsOwnLogin(t *testing.T) {
	file, other := secret(t, "line"), secret(t, "uplink")
	line := "local: 'tcp://127.0.0.1', uplink: 'ssl://cloud', username: plc-side, password_file: " + file
	at := config.Login{Username: "plc-side", PasswordFile: file}
	for keys, uplink := range map[string]config.Login{
		"":                           at,
		", uplink_ca_file: " + other: {CAFile: other},
		", uplink_username: node7, uplink_password_file: " + other: {
			Username: "node7", PasswordFile: other,
		},
		", uplink_cert_file: " + other + ", uplink_key_file: " + other: {CertFile: other, KeyFile: other},
	} {
		c, err := brokers(line + keys)
		require.NoError(t, err)
		require.Equal(t, at, c.MQTT.LocalLogin(), keys)
		require.Equal(t, uplink, c.MQTT.UplinkLogin(), keys)
	}
	c, err := brokers("uplink: 'ssl://cloud', uplink_username: node7, uplink_password_file: " + other)
	require.NoError(t, err)
	require.Equal(t, config.Login{}, c.MQTT.LocalLogin())
}

func TestHalfALoginIsAFault(t *testing.T) {
	file := secret(t, "x")
	for keys, want := range map[string]string{
		"uplink: 'ssl://cloud', uplink_cert_file: " + file: "line 3: mqtt.uplink_cert_file: " +
			"certificate and key go together (set cert_file and key_file, or neither)",
		"uplink: 'ssl://cloud', uplink_password_file: " + file: "line 3: mqtt.uplink_password_file: " +
			"a password without a user is not sent (set username, too)",
		"password_file: " + file: "line 3: mqtt.password_file: a password without a user is not sent " +
			"(set username, too)",
		"usrname: joe, password_file: " + file: "line 3: mqtt.usrname: unknown key (did you mean username?)",
		"uplink: 'ssl://cloud', uplink_ca_file: /nowhere/ca.pem": "line 3: mqtt.uplink_ca_file: file " +
			"/nowhere/ca.pem cannot be read (check its path and rights)",
		"uplink_username: joe": "line 3: mqtt.uplink: no broker is named, but what to show it (name the " +
			"cloud's broker, or leave out the keys that begin with uplink_)",
		"uplink: 'ssl://joe:hunter2@cloud'": "line 3: mqtt.uplink: a user name or password stands in the " +
			"address (use mqtt.uplink_username and mqtt.uplink_password_file)",
	} {
		_, err := brokers(keys)
		require.EqualError(t, err, want)
	}
}

// Fault 32: what goes over a network in clear text is known to whoever listens.
func TestPasswordsThatOthersCanReadOnTheWayAreNamed(t *testing.T) {
	const own, both = "uplink_username: node7, uplink_password_file: FILE", "username: n, password_file: FILE"
	for keys, want := range map[string][]string{
		"local: 'tcp://10.0.0.5', " + both:                             {"mqtt.local"},
		"local: 'mqtt://broker', " + both:                              {"mqtt.local"},
		"local: 'tcp://10.0.0.5', uplink: 'tcp://cloud', " + both:      {"mqtt.local", "mqtt.uplink"},
		"local: 'tcp://10.0.0.5', uplink: 'ssl://cloud', " + own:       nil,
		"local: 'tcp://10.0.0.5', uplink: 'tcp://cloud', " + own:       {"mqtt.uplink"},
		"local: 'tcp://10.0.0.5', username: n":                         nil,
		"local: 'ssl://10.0.0.5', uplink: 'mqtts://cloud', " + both:    nil,
		"local: 'tcp://localhost', uplink: 'tcp://127.8.9.1', " + both: nil,
		"local: 'tcp://[::1]:1883', " + both:                           nil,
		"local: 'unix:///run/broker.sock', " + both:                    nil,
		"uplink: 'tcp://127.0.0.1.example.com', " + own:                {"mqtt.uplink"},
	} {
		c, err := brokers(strings.ReplaceAll(keys, "FILE", secret(t, "x")))
		require.NoError(t, err, keys)
		var found []string
		for _, f := range c.Exposed() {
			require.Equal(t, 3, f.Line)
			require.NotEmpty(t, f.Remedy)
			found = append(found, f.Path)
		}
		require.Equal(t, want, found, keys)
	}
	c, err := brokers("local: 'tcp://10.0.0.5', uplink: 'ssl://cloud', username: n, password_file: " +
		secret(t, "x"))
	require.NoError(t, err)
	require.EqualError(t, c.Exposed(), "line 3: mqtt.local: the password goes to tcp://10.0.0.5 "+
		"unencrypted: whoever listens on the way has it (use a TLS listener of the broker, ssl://host:8883; "+
		"the uplink is shown the same password unless it has keys of its own, such as mqtt.uplink_username)")
}

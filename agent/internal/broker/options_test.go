package broker_test

import (
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/broker/brokertest"
	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

func writeFile(tb testing.TB, name, text string) {
	tb.Helper()
	require.NoError(tb, fsutil.WriteFile(fsutil.OS{}, name, []byte(text), 0o600))
}

func TestOptionsThatNeverWorkAreRefusedAndRepeatNoSecret(t *testing.T) {
	good := broker.Options{URL: "tcp://127.0.0.1", ClientID: "a"}
	bad := t.TempDir() + "/bad.pem"
	writeFile(t, bad, "no certificate")
	cases := map[string]struct {
		change func(*broker.Options)
		says   string
	}{
		"no URL":         {func(o *broker.Options) { o.URL = "" }, "scheme"},
		"no host":        {func(o *broker.Options) { o.URL = "tcp://" }, "no host"},
		"websocket":      {func(o *broker.Options) { o.URL = "ws://h" }, "use tcp, ssl or unix"},
		"secret in URL":  {func(o *broker.Options) { o.URL = "tcp://me:hunter2@h" }, "password_file"},
		"broken URL":     {func(o *broker.Options) { o.URL = "tcp://me:hunter2@h:%zz" }, "cannot be read"},
		"no client id":   {func(o *broker.Options) { o.ClientID = "" }, "client_id"},
		"no such secret": {func(o *broker.Options) { o.PasswordFile = "/nowhere" }, "password file"},
		"no such CA":     {func(o *broker.Options) { o.CAFile = "/nowhere" }, "CA file"},
		"empty CA":       {func(o *broker.Options) { o.CAFile = bad }, "no PEM certificate"},
		"half a pair":    {func(o *broker.Options) { o.CertFile = bad }, "both"},
		"wildcard will":  {func(o *broker.Options) { o.Will = &broker.Message{Topic: "a/#"} }, "wildcard"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := good
			c.change(&o)
			_, err := broker.Dial(o)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestMessagesThatABrokerPunishesAreRefusedHere(t *testing.T) {
	m := brokertest.Start(t, anonymous)
	c := dial(t, broker.Options{URL: m.URL()})
	connected(t, c)
	for _, bad := range []broker.Message{
		{Topic: ""},
		{Topic: "a/+"},
		{Topic: "a/#"},
		{Topic: "a\x00"},
		{Topic: string(make([]byte, 2000))},
		{Topic: "a", QoS: 2},
		{Topic: "a", Payload: make([]byte, 9<<20)},
	} {
		require.Error(t, c.Publish(t.Context(), bad))
	}
	require.NoError(t, c.Publish(within(t, patience), broker.Message{Topic: "a", QoS: 1}))
	require.Equal(t, uint64(1), c.Stats().Connects)
}

// Fault 32 at this layer.
func TestPasswordIsUsedRenewedAndNeverLogged(t *testing.T) {
	dir := t.TempDir()
	hashes, password := filepath.Join(dir, "hashes"), filepath.Join(dir, "password")
	hash := exec.CommandContext(t.Context(), "mosquitto_passwd", "-b", "-c", hashes, "node7", "correct-horse")
	out, err := hash.CombinedOutput()
	require.NoError(t, err, "%s", out)
	writeFile(t, password, "wrong-horse\n")
	m := brokertest.Start(t, "allow_anonymous false\npassword_file "+hashes)
	var log syncBuffer
	c := dial(t, broker.Options{
		URL: m.URL(), Username: "node7", PasswordFile: password,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.Eventually(t, func() bool { return len(log.Bytes()) > 0 }, patience, often)
	require.False(t, c.Connected())
	require.Contains(t, string(log.Bytes()), "ot Authorized")
	writeFile(t, password, "correct-horse\n")
	connected(t, c)
	require.NotContains(t, string(log.Bytes()), "horse")
}

// Fault 22 at this layer.
func TestMutualTLSAcceptsOnlyTheRightCertificates(t *testing.T) {
	dir := t.TempDir()
	right, wrong := brokertest.NewAuthority(t), brokertest.NewAuthority(t)
	ca, otherCA := right.Write(t, dir, "ca"), wrong.Write(t, dir, "other")
	now, hour := time.Now(), time.Hour
	client := right.Issue(t, dir, "client", now.Add(-hour), now.Add(hour))
	stranger := wrong.Issue(t, dir, "stranger", now.Add(-hour), now.Add(hour))
	expired := right.Issue(t, dir, "expired", now.Add(-2*hour), now.Add(-hour))
	early := right.Issue(t, dir, "early", now.Add(hour), now.Add(2*hour))
	server := right.Issue(t, dir, "server", now.Add(-hour), now.Add(hour))
	url, oldURL, futureURL := mutualTLS(t, ca, server), mutualTLS(t, ca, expired), mutualTLS(t, ca, early)

	good := broker.Options{CAFile: ca, CertFile: client.Cert, KeyFile: client.Key}
	as := func(c brokertest.Certificate) broker.Options {
		return broker.Options{CAFile: ca, CertFile: c.Cert, KeyFile: c.Key}
	}
	strict := broker.Options{CAFile: otherCA, CertFile: client.Cert, KeyFile: client.Key}
	day := func(at time.Time) string { return at.UTC().Format(time.RFC3339) }
	const clock = "renew the broker's certificate, or set this node's clock"
	for name, c := range map[string]struct {
		url  string
		o    broker.Options
		says string
	}{
		"no client certificate": {url, broker.Options{CAFile: ca}, "certificate required; the broker wants " +
			"a certificate of this node: set cert_file and key_file"},
		"foreign client": {url, as(stranger), "unknown certificate authority; " + stranger.Cert +
			" must come from an authority that the broker knows, and not be revoked"},
		"expired client": {url, as(expired), "expired certificate; " + expired.Cert + " is good from " +
			day(now.Add(-2*hour)) + " to " + day(now.Add(-hour)) + ": renew it, or set this node's clock"},
		"early client": {url, as(early), "certificate; " + early.Cert + " is good from " +
			day(now.Add(hour)) + " to " + day(now.Add(2*hour)) + ": renew it, or set this node's clock"},
		"foreign server": {url, strict, "; ca_file must hold the authority that signed the broker's"},
		"expired server": {oldURL, good, "is after " + day(now.Add(-hour)) + "; " + clock},
		"early server":   {futureURL, good, "is before " + day(now.Add(hour)) + "; " + clock},
		"other name": {strings.Replace(url, "127.0.0.1", "localhost", 1), good, "; the address must name " +
			"the broker as its certificate does"},
	} {
		t.Run(name, func(t *testing.T) {
			var log syncBuffer
			c.o.URL, c.o.ClientID, c.o.Log = c.url, "bad", slog.New(slog.NewTextHandler(&log, nil))
			conn := dial(t, c.o)
			require.Eventually(t, func() bool { return len(log.Bytes()) > 0 }, patience, often)
			require.False(t, conn.Connected())
			require.Contains(t, string(log.Bytes()), "broker is not reachable, trying on")
			require.Contains(t, string(log.Bytes()), c.says)
		})
	}
	good.URL, good.ClientID = url, "good"
	conn := dial(t, good)
	connected(t, conn)
	require.NoError(t, conn.Publish(within(t, patience), broker.Message{Topic: "t", QoS: 1}))
}

// mutualTLS runs a broker that shows this certificate and wants one of the authority.
func mutualTLS(t *testing.T, ca string, shows brokertest.Certificate) (url string) {
	t.Helper()
	port := brokertest.FreePort(t)
	brokertest.Start(t, fmt.Sprintf("listener %d 127.0.0.1\ncafile %s\ncertfile %s\nkeyfile %s\n"+
		"require_certificate true\nallow_anonymous true", port, ca, shows.Cert, shows.Key))
	return fmt.Sprintf("ssl://127.0.0.1:%d", port)
}

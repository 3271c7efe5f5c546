package broker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os/exec"
	"path/filepath"
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
	right, wrong := newAuthority(t), newAuthority(t)
	serverCert, serverKey := right.issue(t, dir, "server")
	clientCert, clientKey := right.issue(t, dir, "client")
	strangerCert, strangerKey := wrong.issue(t, dir, "stranger")
	ca, otherCA := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "other.pem")
	writeFile(t, ca, right.pem())
	writeFile(t, otherCA, wrong.pem())
	port := brokertest.FreePort(t)
	brokertest.Start(t, fmt.Sprintf("listener %d 127.0.0.1\ncafile %s\ncertfile %s\nkeyfile %s\n"+
		"require_certificate true\nallow_anonymous true", port, ca, serverCert, serverKey))
	url := fmt.Sprintf("ssl://127.0.0.1:%d", port)
	o := broker.Options{URL: url, ClientID: "good", CAFile: ca, CertFile: clientCert, KeyFile: clientKey}
	good := dial(t, o)
	connected(t, good)
	require.NoError(t, good.Publish(within(t, patience), broker.Message{Topic: "t", QoS: 1}))
	for name, o := range map[string]broker.Options{
		"no client certificate": {CAFile: ca},
		"foreign client":        {CAFile: ca, CertFile: strangerCert, KeyFile: strangerKey},
		"foreign server":        {CAFile: otherCA, CertFile: clientCert, KeyFile: clientKey},
	} {
		t.Run(name, func(t *testing.T) {
			var log syncBuffer
			o.URL, o.ClientID, o.Log = url, "bad", slog.New(slog.NewTextHandler(&log, nil))
			c := dial(t, o)
			require.Eventually(t, func() bool { return len(log.Bytes()) > 0 }, patience, often)
			require.False(t, c.Connected())
		})
	}
}

type authority struct {
	cert *x509.Certificate
	der  []byte
	key  *ecdsa.PrivateKey
}

func newAuthority(tb testing.TB) authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return authority{cert: cert, der: der, key: key}
}

func (a authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.der}))
}

func (a authority) issue(tb testing.TB, dir, name string) (certFile, keyFile string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a.cert, &key.PublicKey, a.key)
	require.NoError(tb, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	writeFile(tb, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(tb, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return certFile, keyFile
}

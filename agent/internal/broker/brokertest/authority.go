package brokertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

// Authority signs certificates for tests.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Certificate is the paths of a certificate and its key, both PEM.
type Certificate struct{ Cert, Key string }

// NewAuthority makes one that nobody trusts yet.
func NewAuthority(tb testing.TB) Authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return Authority{cert: cert, key: key}
}

// Write puts the authority's certificate into the folder and returns its path.
func (a Authority) Write(tb testing.TB, dir, name string) string {
	tb.Helper()
	return write(tb, filepath.Join(dir, name+".pem"), "CERTIFICATE", a.cert.Raw)
}

// Issue makes a certificate for a client, or a server on 127.0.0.1, that is good from one time to another.
func (a Authority) Issue(tb testing.TB, dir, name string, from, to time.Time) Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a.cert, &key.PublicKey, a.key)
	require.NoError(tb, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	return Certificate{
		Cert: write(tb, filepath.Join(dir, name+".pem"), "CERTIFICATE", der),
		Key:  write(tb, filepath.Join(dir, name+".key"), "PRIVATE KEY", keyDER),
	}
}

func write(tb testing.TB, path, kind string, der []byte) string {
	tb.Helper()
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	require.NoError(tb, fsutil.WriteFile(fsutil.OS{}, path, block, 0o600))
	return path
}

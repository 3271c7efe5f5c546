package servers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates are one authority, one server certificate for loopback and one client certificate.
type certificates struct {
	pool  *x509.CertPool
	shown tls.Certificate
}

// client is a configuration that trusts the authority and shows the client's certificate.
func (c *certificates) client() *tls.Config {
	return &tls.Config{
		RootCAs: c.pool, Certificates: []tls.Certificate{c.shown}, MinVersion: tls.VersionTLS12,
	}
}

// newCertificates writes ca.pem, server.pem, server.key, client.pem and client.key into dir.
func newCertificates(dir string) (*certificates, error) {
	authority, authorityKey, err := issue(dir, "ca", nil, nil)
	if err != nil {
		return nil, err
	}
	if _, _, err = issue(dir, "server", authority, authorityKey); err != nil {
		return nil, err
	}
	if _, _, err = issue(dir, "client", authority, authorityKey); err != nil {
		return nil, err
	}
	shown, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key"))
	if err != nil {
		return nil, fmt.Errorf("read client certificate: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return &certificates{pool: pool, shown: shown}, nil
}

// issue makes a certificate signed by parent, or by itself as an authority when parent is nil.
func issue(
	dir, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey,
) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key for %s: %w", name, err)
	}
	template := template(name, parent == nil)
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, fmt.Errorf("sign %s: %w", name, err)
	}
	if err = writePair(dir, name, der, key); err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return certificate, key, err
}

func template(name string, authority bool) *x509.Certificate {
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if authority {
		certificate.IsCA, certificate.BasicConstraintsValid = true, true
		certificate.KeyUsage = x509.KeyUsageCertSign
	}
	return certificate
}

func writePair(dir, name string, der []byte, key *ecdsa.PrivateKey) error {
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key of %s: %w", name, err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der},
		name + ".key": {Type: "PRIVATE KEY", Bytes: encoded},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

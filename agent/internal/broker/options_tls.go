package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// telling is a connection that says why it ended. With TLS 1.3 the broker looks at our certificate after the
// handshake: what we write may fail, since it has gone, before anybody has read the reason that it sent.
type telling struct{ *tls.Conn }

func secured(ctx context.Context, dialer *net.Dialer, host string, config *tls.Config) (net.Conn, error) {
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	client := tls.Client(conn, config)
	if err := client.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return telling{client}, nil
}

func (t telling) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		_, told := t.Read(make([]byte, 1))
		if remote(told) != nil {
			return n, told
		}
	}
	return n, err
}

// remote is what the other side said when it ended the connection, nil for all other errors.
func remote(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return op.Err
	}
	return nil
}

// remedy says what to do where it is a certificate that keeps broker and node apart.
func (o Options) remedy(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "; renew the broker's certificate, or set this node's clock"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "; ca_file must hold the authority that signed the broker's certificate"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "; the address must name the broker as its certificate does"
	}
	if why := remote(err); why != nil {
		return o.refused(why.Error())
	}
	return ""
}

// refused is for what the broker says of our certificate, in words that TLS has for it.
func (o Options) refused(why string) string {
	switch {
	case !strings.Contains(why, "certificate"):
		return ""
	case o.CertFile == "":
		return "; the broker wants a certificate of this node: set cert_file and key_file"
	}
	pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return ""
	}
	from, to := pair.Leaf.NotBefore.UTC(), pair.Leaf.NotAfter.UTC()
	if now := time.Now(); now.Before(from) || now.After(to) {
		return fmt.Sprintf("; %s is good from %s to %s: renew it, or set this node's clock", o.CertFile,
			from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	return "; " + o.CertFile + " must come from an authority that the broker knows, and not be revoked"
}

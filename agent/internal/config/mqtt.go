package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// The beginnings of the keys that say what a broker is shown.
const (
	lineKeys   = "mqtt."
	uplinkKeys = "mqtt.uplink_"
)

// Login is what a broker is shown of who we are, and with CAFile what it has to show us. Empty: nothing.
type Login struct{ Username, PasswordFile, CAFile, CertFile, KeyFile string }

// LocalLogin is for the line's broker.
func (m *MQTT) LocalLogin() Login {
	return Login{m.Username, m.PasswordFile, m.CAFile, m.CertFile, m.KeyFile}
}

// UplinkLogin is for the cloud's broker: its own, or the line's when it has none of its own. They are never
// mixed, so that no part of one goes where only the other was meant to be.
func (m *MQTT) UplinkLogin() Login {
	if own := m.ownUplink(); own != (Login{}) {
		return own
	}
	return m.LocalLogin()
}

func (m *MQTT) ownUplink() Login {
	return Login{m.UplinkUsername, m.UplinkPasswordFile, m.UplinkCAFile, m.UplinkCertFile, m.UplinkKeyFile}
}

func (m *MQTT) check(doc *strictyaml.Document) {
	checkBroker(doc, "mqtt.local", m.Local, lineKeys)
	if m.Uplink != "" {
		checkBroker(doc, "mqtt.uplink", m.Uplink, uplinkKeys)
	} else if m.ownUplink() != (Login{}) && !doc.Doubtful("mqtt.uplink") {
		doc.Add("mqtt.uplink", "no broker is named, but what to show it",
			"name the cloud's broker, or leave out the keys that begin with uplink_")
	}
	if m.ClientID == "" {
		doc.Add("mqtt.client_id", "this machine has no host name", "write one that is unique in the plant")
	}
	m.LocalLogin().check(doc, lineKeys)
	m.ownUplink().check(doc, uplinkKeys)
}

func (l Login) check(doc *strictyaml.Document, keys string) {
	if (l.CertFile == "") != (l.KeyFile == "") && !doc.Doubtful(keys+"key_file") {
		doc.Add(keys+"cert_file", "certificate and key go together", "set cert_file and key_file, or neither")
	}
	if l.PasswordFile != "" && l.Username == "" && !doc.Doubtful(keys+"username") {
		doc.Add(keys+"password_file", "a password without a user is not sent", "set username, too")
	}
	for _, file := range []struct{ key, path string }{
		{"password_file", l.PasswordFile},
		{"ca_file", l.CAFile},
		{"cert_file", l.CertFile},
		{"key_file", l.KeyFile},
	} {
		if file.path == "" {
			continue
		}
		if _, err := os.Stat(file.path); err != nil {
			doc.Add(keys+file.key, "file "+file.path+" cannot be read", "check its path and rights")
		}
	}
}

func checkBroker(doc *strictyaml.Document, path, address, keys string) {
	u, err := url.Parse(address)
	known := []string{"tcp", "mqtt", "ssl", "tls", "mqtts"}
	switch {
	case err == nil && u.Scheme == "unix" && u.Path != "":
	case err != nil || !slices.Contains(known, u.Scheme) || u.Host == "":
		doc.Add(
			path,
			fmt.Sprintf("%q is not a broker address", address),
			"such as tcp://127.0.0.1:1883 or ssl://host:8883",
		)
	case u.User != nil:
		doc.Add(
			path,
			"a user name or password stands in the address",
			"use "+keys+"username and "+keys+"password_file",
		)
	}
}

// Exposed are the passwords that go over a network in clear text. That is no fault: whether the machine
// network is closed, the plant knows.
func (l *Loaded) Exposed() strictyaml.Faults {
	var found strictyaml.Faults
	expose := func(path, address string, login Login, remedy string) {
		if login.PasswordFile == "" || !readable(address) || l.Faulty(path) {
			return
		}
		found = append(found, strictyaml.Fault{
			Path: path, Line: l.Line(path), Remedy: remedy,
			Problem: "the password goes to " + address + " unencrypted: whoever listens on the way has it",
		})
	}
	m, remedy := &l.MQTT, "use a TLS listener of the broker, ssl://host:8883"
	shared := m.Uplink != "" && m.ownUplink() == (Login{})
	forLine := remedy
	if shared {
		forLine += "; the uplink is shown the same password unless it has keys of its own, such as " +
			uplinkKeys + "username"
	}
	expose("mqtt.local", m.Local, m.LocalLogin(), forLine)
	if m.Uplink != "" {
		expose("mqtt.uplink", m.Uplink, m.UplinkLogin(), remedy)
	}
	return found
}

// readable says whether others can listen on the way to an address.
func readable(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "tcp" && u.Scheme != "mqtt" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

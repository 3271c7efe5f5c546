package servers

import (
	"crypto/tls"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
)

const wait = 10 * time.Second

func options(m *Mosquitto, id string) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker(m.URL()).SetClientID(id).SetConnectTimeout(2 * time.Second).
		SetAutoReconnect(false).SetTLSConfig(m.TLSConfig())
}

func connect(t *testing.T, opts *mqtt.ClientOptions) mqtt.Client {
	t.Helper()
	client := mqtt.NewClient(opts)
	require.NoError(t, done(t, client.Connect()))
	t.Cleanup(func() { client.Disconnect(100) })
	return client
}

func done(t *testing.T, token mqtt.Token) error {
	t.Helper()
	require.True(t, token.WaitTimeout(wait), "no answer from the broker")
	return token.Error()
}

func subscribe(t *testing.T, client mqtt.Client, filter string) <-chan string {
	t.Helper()
	got := make(chan string, 100)
	require.NoError(t, done(t, client.Subscribe(filter, 1, func(_ mqtt.Client, m mqtt.Message) {
		got <- string(m.Payload())
	})))
	return got
}

func next(t *testing.T, got <-chan string) string {
	t.Helper()
	select {
	case payload := <-got:
		return payload
	case <-time.After(wait):
		require.Fail(t, "no message")
		return ""
	}
}

func TestMosquittoDelivers(t *testing.T) {
	m := StartMosquitto(t, MosquittoOptions{})
	got := subscribe(t, connect(t, options(m, "subscriber")), "sightline/#")
	publisher := connect(t, options(m, "publisher"))
	require.NoError(t, done(t, publisher.Publish("sightline/v1", 1, false, "hello")))
	require.Equal(t, "hello", next(t, got))
}

func TestMosquittoKeepsASessionsMessagesThroughStopAndStart(t *testing.T) {
	m := StartMosquitto(t, MosquittoOptions{})
	subscriber := connect(t, options(m, "bridge").SetCleanSession(false))
	subscribe(t, subscriber, "sightline/#")
	subscriber.Disconnect(100)
	publisher := connect(t, options(m, "publisher"))
	require.NoError(t, done(t, publisher.Publish("sightline/v1", 1, false, "kept")))

	m.Stop()
	require.Error(t, done(t, mqtt.NewClient(options(m, "early")).Connect()))
	m.Start()

	got := make(chan string, 1)
	connect(t, options(m, "bridge").SetCleanSession(false).
		SetDefaultPublishHandler(func(_ mqtt.Client, msg mqtt.Message) { got <- string(msg.Payload()) }))
	require.Equal(t, "kept", next(t, got))
}

func TestAPausedMosquittoAnswersOnlyAfterResume(t *testing.T) {
	m := StartMosquitto(t, MosquittoOptions{})
	client := connect(t, options(m, "publisher"))
	m.Pause()
	token := client.Publish("sightline/v1", 1, false, "late")
	require.False(t, token.WaitTimeout(300*time.Millisecond), "a paused broker must not acknowledge")
	m.Resume()
	require.NoError(t, done(t, token))
}

func TestAKilledMosquittoComesBackOnItsPort(t *testing.T) {
	m := StartMosquitto(t, MosquittoOptions{})
	before := m.Addr()
	m.Kill()
	m.Start()
	require.Equal(t, before, m.Addr())
	connect(t, options(m, "publisher"))
}

func TestMosquittoRefusesWrongPasswordsAndKeepsItsACL(t *testing.T) {
	m := StartMosquitto(t, MosquittoOptions{
		Users: map[string]string{"node": "secret", "plc": "other"},
		ACL:   "user node\ntopic write sightline/v1/a\nuser plc\ntopic read sightline/#\n",
	})
	require.Error(t, done(t, mqtt.NewClient(options(m, "anonymous")).Connect()))
	require.Error(t, done(t, mqtt.NewClient(options(m, "x").SetUsername("node").SetPassword("no")).Connect()))

	plc := connect(t, options(m, "plc").SetUsername("plc").SetPassword("other"))
	got := subscribe(t, plc, "sightline/#")
	// Whether a forbidden message is acknowledged or costs the connection differs between versions.
	trespasser := connect(t, options(m, "trespasser").SetUsername("node").SetPassword("secret"))
	require.True(t, trespasser.Publish("sightline/v1/b", 1, false, "forbidden").WaitTimeout(wait))
	node := connect(t, options(m, "node").SetUsername("node").SetPassword("secret"))
	require.NoError(t, done(t, node.Publish("sightline/v1/a", 1, false, "allowed")))
	require.Equal(t, "allowed", next(t, got))
}

func TestMosquittoWithTLSAsksForTheClientsCertificate(t *testing.T) {
	m := StartMosquitto(t, MosquittoOptions{TLS: true, ClientCertificate: true})
	connect(t, options(m, "known"))
	stranger := &tls.Config{RootCAs: m.TLSConfig().RootCAs, MinVersion: tls.VersionTLS12}
	require.Error(t, done(t, mqtt.NewClient(options(m, "stranger").SetTLSConfig(stranger)).Connect()))
}

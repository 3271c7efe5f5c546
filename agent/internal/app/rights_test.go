package app_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/app"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/broker/brokertest"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/topic"
)

// guided is a mosquitto that is set up by a page of the guide: with its two files, of which the folder and
// the listener's first line are the test's. Each user has a password at this broker alone.
type guided struct {
	t         *testing.T
	name, dir string
	url, log  string
	authority brokertest.Authority
}

const conf = "/etc/mosquitto/conf.d/sightline.conf"

func startGuided(t *testing.T, page, access string, users ...string) *guided {
	t.Helper()
	g := &guided{t: t, name: page, dir: t.TempDir(), authority: brokertest.NewAuthority(t)}
	g.log = filepath.Join(g.dir, "log")
	list := g.block(access)
	require.NoError(t, os.WriteFile(filepath.Join(g.dir, filepath.Base(access)), []byte(list), 0o600))
	hashes := filepath.Join(g.dir, "passwords")
	require.NoError(t, os.WriteFile(hashes, nil, 0o600))
	for _, user := range users {
		require.Contains(t, list, "user "+user+"\n")
		command := exec.CommandContext(t.Context(), "mosquitto_passwd", "-b", hashes, user, g.password(user))
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	g.authority.Write(t, g.dir, "ca")
	g.authority.Issue(t, g.dir, "server", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	_, rest, found := strings.Cut(g.block(conf), "\nlistener ")
	require.True(t, found)
	_, rest, _ = strings.Cut(rest, "\n")
	// 1000 is mosquitto's own default, which the cloud's page changes.
	if !strings.Contains(g.block(conf), "\nmax_queued_messages ") {
		rest += "max_queued_messages 1000\n"
	}
	m := brokertest.Start(t, strings.ReplaceAll(rest, "/etc/mosquitto/", g.dir+"/")+
		"\nlog_type all\nlog_dest file "+g.log)
	g.url = m.URL()
	if strings.Contains(rest, "\ncertfile ") {
		g.url = strings.Replace(g.url, "tcp:", "ssl:", 1)
	}
	return g
}

// block is what the page tells its reader to write into a file.
func (g *guided) block(file string) string {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", g.name))
	require.NoError(g.t, err)
	_, after, found := strings.Cut(string(text), "```\n# "+file+"\n")
	require.True(g.t, found, "%s has no block for %s", g.name, file)
	inside, _, found := strings.Cut(after, "```\n")
	require.True(g.t, found)
	return "\n" + inside
}

func (g *guided) password(user string) string { return user + " at " + g.name }

// login is what the user needs here.
func (g *guided) login(user string) config.Login {
	g.t.Helper()
	file := filepath.Join(g.dir, user+".password")
	require.NoError(g.t, os.WriteFile(file, []byte(g.password(user)), 0o600))
	return config.Login{Username: user, PasswordFile: file, CAFile: filepath.Join(g.dir, "ca.pem")}
}

// said is the broker's log so far.
func (g *guided) said() string {
	g.t.Helper()
	text, err := os.ReadFile(g.log)
	require.NoError(g.t, err)
	return string(text)
}

// client connects as the user, with these topics subscribed.
func (g *guided) client(user string, handle func(broker.Delivery), filters ...string) *broker.Conn {
	g.t.Helper()
	as := g.login(user)
	o := broker.Options{
		URL: g.url, ClientID: "as-" + user, Username: as.Username, PasswordFile: as.PasswordFile,
		CAFile: as.CAFile, CleanSession: true,
	}
	for _, filter := range filters {
		sub := broker.Subscription{Filter: filter, Depth: 1024, Handle: handle}
		o.Subscriptions = append(o.Subscriptions, sub)
	}
	c, err := broker.Dial(o)
	require.NoError(g.t, err)
	g.t.Cleanup(c.Close)
	require.Eventually(g.t, c.Connected, 10*time.Second, time.Millisecond)
	return c
}

func startLine(t *testing.T) *guided {
	t.Helper()
	return startGuided(t, "plc.md", "/etc/mosquitto/sightline.acl", "node-line3", "plc-line3", "scada",
		"operator-line3")
}

func startCloud(t *testing.T) *guided {
	t.Helper()
	return startGuided(t, "cloud.md", "/etc/mosquitto/acl", "bridge", "node-line3")
}

// loggedIn is a configuration for both brokers, with a login for each.
func loggedIn(t *testing.T, line, cloud *guided, uplinkUser string) *config.Loaded {
	t.Helper()
	cfg := configured(t, 1, "")
	own, uplink := line.login("node-line3"), cloud.login(uplinkUser)
	cfg.MQTT.Local, cfg.MQTT.Username, cfg.MQTT.PasswordFile = line.url, own.Username, own.PasswordFile
	cfg.MQTT.Uplink, cfg.MQTT.UplinkUsername = cloud.url, uplink.Username
	cfg.MQTT.UplinkPasswordFile, cfg.MQTT.UplinkCAFile = uplink.PasswordFile, uplink.CAFile
	return cfg
}

// arrivals are the ids of events by topic, as a subscriber has them.
type arrivals struct {
	mu  sync.Mutex
	ids map[string][]string
}

func (a *arrivals) take(d broker.Delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, err := event.Decode(d.Payload); err == nil {
		a.ids[d.Topic] = append(a.ids[d.Topic], e.ID)
	}
}

func (a *arrivals) on(name string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.ids[name]...)
}

// safe is a log that may be read while it is written.
type safe struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *safe) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// Faults 22 and 31: with the files that users copy, and a login for each broker, the agent does all its work,
// and whoever else is on the line moves nothing.
func TestTheAgentWorksWithTheGuidesRightsAndNobodyElseMovesIt(t *testing.T) {
	line, cloud := startLine(t), startCloud(t)
	cfg := loggedIn(t, line, cloud, "node-line3")
	got := &arrivals{ids: map[string][]string{}}
	cloud.client("bridge", got.take, "sightline/v1/+/+/+/+/+/inspection", "sightline/v1/+/+/+/+/+/state")
	p := connectPLCAs(t, line.url, line.login("plc-line3"))
	var log safe
	runAgent(t, app.Options{
		Config: cfg, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Launch: fakeworker.Launch(fakeworker.Script{}),
	})
	p.awaitState(event.Ready)
	const parts = 5
	stranger := line.client("scada", func(broker.Delivery) {})
	for i := range parts {
		for leaf, payload := range map[topic.Leaf]string{
			topic.Trigger: `{"partId":"forged"}`, topic.Command: `{"command":"reset"}`, topic.Result: `{}`,
			topic.State: `{"forged":true}`,
		} {
			m := broker.Message{Topic: p.place.Topic(leaf), QoS: 1, Payload: []byte(payload), Retained: true}
			require.NoError(t, stranger.Publish(t.Context(), m))
		}
		p.trigger(fmt.Sprintf("P%d", i))
		p.await(i + 1)
	}
	require.Eventually(t, func() bool {
		return len(got.on(p.place.Topic(topic.Inspection))) == parts &&
			len(got.on(p.place.Topic(topic.State))) > 0
	}, 10*time.Second, 10*time.Millisecond)
	results := p.taken()
	require.Len(t, results, parts, "none of a forged trigger")
	for i, in := range results {
		require.Equal(t, fmt.Sprintf("P%d", i), in.PartID)
		require.Equal(t, got.on(p.place.Topic(topic.Inspection))[i], in.ResultID)
	}
	require.NotContains(t, line.said(), "Denied PUBLISH from node-7")
	require.NotContains(t, cloud.said(), "Denied PUBLISH from node-7")
	for _, leaf := range []topic.Leaf{topic.Trigger, topic.Command, topic.Result, topic.State} {
		require.Regexp(t, "Denied PUBLISH from as-scada .*'"+p.place.Topic(leaf)+"'", line.said())
	}
	require.NotContains(t, log.String(), " at plc.md")
	require.NotContains(t, log.String(), " at cloud.md")
}

// The cloud's login is none on the line, and the line's none in the cloud.
func TestALoginIsWorthNothingAtTheOtherBroker(t *testing.T) {
	line, cloud := startLine(t), startCloud(t)
	for at, want := range map[*guided]string{line: "tcp", cloud: "ssl"} {
		cfg := loggedIn(t, line, cloud, "node-line3")
		m := &cfg.MQTT
		if at == line {
			m.PasswordFile = m.UplinkPasswordFile
		} else {
			m.UplinkPasswordFile = m.PasswordFile
		}
		var log safe
		stop := runAgent(t, app.Options{
			Config: cfg, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Launch: fakeworker.Launch(fakeworker.Script{}),
		})
		require.Eventually(t, func() bool {
			return strings.Contains(log.String(), "not Authorized") &&
				strings.Contains(log.String(), "broker connected")
		}, 10*time.Second, 10*time.Millisecond)
		stop()
		for entry := range strings.SplitSeq(log.String(), "\n") {
			if strings.Contains(entry, "ot Authorized") {
				require.Contains(t, entry, "url="+want)
			}
		}
	}
}

// MQTT 3.1.1 has no word for a refusal. With the cloud's guide mosquitto ends the connection, too, so that a
// node with wrong rights is told.
func TestACloudThatForbidsWhatTheAgentSaysIsLogged(t *testing.T) {
	line, cloud := startLine(t), startCloud(t)
	var log safe
	p := connectPLCAs(t, line.url, line.login("plc-line3"))
	runAgent(t, app.Options{
		Config: loggedIn(t, line, cloud, "bridge"), Log: slog.New(slog.NewTextHandler(&log, nil)),
		Launch: fakeworker.Launch(fakeworker.Script{}),
	})
	p.awaitState(event.Ready)
	i := 0
	require.Eventually(t, func() bool {
		p.trigger(fmt.Sprintf("P%d", i))
		i++
		p.await(i)
		return strings.Contains(log.String(), "or the broker refuses what is sent")
	}, 30*time.Second, 20*time.Millisecond)
	require.Regexp(t, "Denied PUBLISH from node-7-uplink .*'"+p.place.Topic(""), cloud.said())
}

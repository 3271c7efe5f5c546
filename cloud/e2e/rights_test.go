package e2e_test

import (
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
	"github.com/sightline-edge/sightline/cloud/internal/record"
)

// guide is what a page tells its reader to write into two files of mosquitto's.
type guide struct{ config, access string }

// readGuide takes the blocks that begin with the files' names, without which nobody would know where they go.
func readGuide(t *testing.T, page, access string) guide {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	require.NoError(t, err)
	block := func(file string) string {
		_, after, found := strings.Cut(string(text), "```\n# "+file+"\n")
		require.True(t, found, "%s has no block for %s", page, file)
		inside, _, found := strings.Cut(after, "```\n")
		require.True(t, found)
		return inside
	}
	return guide{config: block("/etc/mosquitto/conf.d/sightline.conf"), access: block(access)}
}

func lineGuide(t *testing.T) guide {
	t.Helper()
	return readGuide(t, "plc.md", "/etc/mosquitto/sightline.acl")
}

func cloudGuide(t *testing.T) guide {
	t.Helper()
	return readGuide(t, "cloud.md", "/etc/mosquitto/acl")
}

// The tests add a user who may do everything, and a topic on which everybody hears that all has been said.
const everyone = "\nuser everyone\ntopic readwrite #\npattern read end\n"

// start runs a broker by the guide, for these users, each with its name as password, and for everyone.
func (g guide) start(t *testing.T, o servers.MosquittoOptions, users ...string) *servers.Mosquitto {
	t.Helper()
	o.Users = map[string]string{"everyone": "everyone"}
	for _, user := range users {
		require.Contains(t, g.access, "user "+user+"\n", "the page knows this user")
		o.Users[user] = user
	}
	o.Guide, o.ACL, o.Lines = g.config, g.access+everyone, append(o.Lines, "log_type all")
	return servers.StartMosquitto(t, o)
}

// again is the access list with a second one behind it, in which other names stand, as strings.NewReplacer
// takes them.
func (g guide) again(names ...string) guide {
	g.access += "\n" + strings.NewReplacer(names...).Replace(g.access)
	return g
}

func enter(t *testing.T, broker *servers.Mosquitto, user string) mqtt.Client {
	t.Helper()
	client := mqtt.NewClient(login(broker, user, user))
	settle(t, client.Connect())
	t.Cleanup(func() { client.Disconnect(0) })
	return client
}

func login(broker *servers.Mosquitto, user, password string) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker(broker.URL()).SetClientID("as-" + user).SetUsername(user).
		SetPassword(password).SetWriteTimeout(time.Second).SetAutoReconnect(false).
		SetTLSConfig(broker.TLSConfig())
}

func settle(t *testing.T, token mqtt.Token) {
	t.Helper()
	require.True(t, token.WaitTimeout(10*time.Second), "no answer from the broker")
	require.NoError(t, token.Error())
}

// inbox is what a client hears of all topics, until the last word.
type inbox chan mqtt.Message

const lastWord = "that is all"

func listen(t *testing.T, client mqtt.Client) inbox {
	t.Helper()
	heard := make(inbox, 10_000)
	settle(t, client.Subscribe("#", 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m }))
	return heard
}

// until returns topics, or payloads where they tell more, in the order of the alphabet, and each once: what
// was tried twice may come twice.
func (in inbox) until(t *testing.T, tell func(mqtt.Message) string) []string {
	t.Helper()
	heard := []string{}
	limit := time.After(patience)
	for {
		select {
		case m := <-in:
			if string(m.Payload()) == lastWord {
				slices.Sort(heard)
				return slices.Compact(heard)
			}
			heard = append(heard, tell(m))
		case <-limit:
			require.FailNow(t, "the last word does not come", "heard %q", heard)
		}
	}
}

// leaves are all that there are: those of the line and those of the uplink.
func leaves() []topic.Leaf {
	return []topic.Leaf{
		topic.Trigger, topic.TriggerAck, topic.Acquisition, topic.Result, topic.ResultAck, topic.Command,
		topic.Override, topic.OverrideAck,
		topic.State, topic.Inspection, topic.Metrics, topic.Update, topic.Evidence + "/id/1",
	}
}

// stations are two of line 3, one of line 4 and one of another site.
func stations(t *testing.T) []topic.Station {
	t.Helper()
	var all []topic.Station
	for _, path := range []string{
		"dongguan/smt/line3/aoi-1", "dongguan/smt/line3/aoi-2", "dongguan/smt/line4/aoi-1",
		"suzhou/smt/line3/aoi-1",
	} {
		station, err := topic.ParseStation("acme/" + path)
		require.NoError(t, err)
		all = append(all, station)
	}
	return all
}

// right is what one user may do: these leaves of the stations whose path, behind acme, begins so.
type right struct {
	user        string
	below       string
	write, read []topic.Leaf
}

func allowed(t *testing.T, leaves []topic.Leaf, below string) []string {
	t.Helper()
	names := []string{}
	for _, station := range stations(t) {
		if !strings.HasPrefix(station.Path()+"/", "acme/"+below) {
			continue
		}
		for _, leaf := range leaves {
			names = append(names, station.Topic(leaf))
		}
	}
	slices.Sort(names)
	return names
}

// everything is each topic of each station, and a few that belong to none.
func everything(t *testing.T) []string {
	t.Helper()
	return append(allowed(t, leaves(), ""), "sightline/v1", "sightline/v1/acme/trigger", "other/result")
}

// say publishes a payload on each of the topics. What is forbidden may be acknowledged, or cost the
// connection that the message behind it needs, too: each gets a second try on a connection of its own.
func say(t *testing.T, broker *servers.Mosquitto, user string, names []string, payload string) {
	t.Helper()
	client := enter(t, broker, user)
	for _, name := range names {
		if !said(client, name, payload) {
			client = enter(t, broker, user)
			said(client, name, payload)
		}
	}
}

// said publishes, and believes an acknowledgement only while the connection lives: the library's token may
// hang or succeed when it has ended.
func said(client mqtt.Client, name, payload string) bool {
	token := client.Publish(name, 1, false, payload)
	limit := time.Now().Add(patience)
	for !token.WaitTimeout(20*time.Millisecond) && client.IsConnectionOpen() && time.Now().Before(limit) {
		continue
	}
	select {
	case <-token.Done():
		return token.Error() == nil && client.IsConnectionOpen()
	default:
		return false
	}
}

// nobodyDoesMore lets each user publish on every topic and subscribe to everything, and compares what came
// through with the rights that the page speaks of.
func nobodyDoesMore(t *testing.T, broker *servers.Mosquitto, rights []right) {
	t.Helper()
	all := enter(t, broker, "everyone")
	heard := listen(t, all)
	var want []string
	for _, r := range rights {
		for _, name := range allowed(t, r.write, r.below) {
			want = append(want, r.user+" on "+name)
		}
		say(t, broker, r.user, everything(t), r.user)
	}
	settle(t, all.Publish("end", 1, false, lastWord))
	slices.Sort(want)
	require.Equal(t, want, heard.until(t, func(m mqtt.Message) string {
		return string(m.Payload()) + " on " + m.Topic()
	}))
	inboxes := map[string]inbox{}
	for _, r := range rights {
		inboxes[r.user] = listen(t, enter(t, broker, r.user))
	}
	for _, name := range everything(t) {
		settle(t, all.Publish(name, 1, false, "said by everyone"))
	}
	settle(t, all.Publish("end", 1, false, lastWord))
	for _, r := range rights {
		require.Equal(t, allowed(t, r.read, r.below), inboxes[r.user].until(t, mqtt.Message.Topic),
			"%s subscribed to #", r.user)
	}
	denied := "Denied PUBLISH from as-" + rights[0].user + " (d0, q1, r0, m"
	say(t, broker, rights[0].user, []string{"sightline/v1/forged"}, "x")
	require.Eventually(t, func() bool {
		_, after, found := strings.Cut(broker.Log(), "'sightline/v1/forged'")
		return found && after != "" && strings.Contains(broker.Log(), denied)
	}, patience, 20*time.Millisecond, "the broker's log names the forger")
}

// turnedAway says that a client cannot even connect.
func turnedAway(t *testing.T, who string, options *mqtt.ClientOptions) {
	t.Helper()
	token := mqtt.NewClient(options.SetClientID("stranger")).Connect()
	require.True(t, token.WaitTimeout(10*time.Second), who)
	require.Error(t, token.Error(), who)
}

// die leaves without a goodbye, and with a last will.
func die(t *testing.T, broker *servers.Mosquitto, user, on string) {
	t.Helper()
	var open net.Conn
	client := mqtt.NewClient(login(broker, user, user).SetClientID("ghost-"+user).
		SetWill(on, "last will of "+user, 1, false).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			var err error
			open, err = net.Dial("tcp", broker.Addr())
			return open, err
		}))
	settle(t, client.Connect())
	t.Cleanup(func() { client.Disconnect(0) })
	require.NoError(t, open.Close())
	require.Eventually(t, func() bool {
		return strings.Contains(broker.Log(), "Client ghost-"+user+" closed its connection")
	}, patience, 10*time.Millisecond)
}

// What each of them says, by the pages.
func saidByAgent() []topic.Leaf {
	return []topic.Leaf{
		topic.TriggerAck, topic.Acquisition, topic.Result, topic.State, topic.OverrideAck,
	}
}

// heardByPLC is what the agent says to a PLC; the answer to an override is the operator's.
func heardByPLC() []topic.Leaf {
	return []topic.Leaf{topic.TriggerAck, topic.Acquisition, topic.Result, topic.State}
}

// heardByAgent is what the agent is told by a PLC and by an operator.
func heardByAgent() []topic.Leaf { return append(saidByPLC(), topic.Override) }

func saidByPLC() []topic.Leaf { return []topic.Leaf{topic.Trigger, topic.ResultAck, topic.Command} }

func saidByUplink() []topic.Leaf {
	return []topic.Leaf{topic.Inspection, topic.State, topic.Metrics, topic.Update, topic.Evidence + "/id/1"}
}

// Faults 22 and 31 at the line's broker, with the access list that users copy.
func TestNobodyOnTheLineDoesMoreThanTheGuidesAccessListSays(t *testing.T) {
	broker := lineGuide(t).again("line3", "line4").start(t, servers.MosquittoOptions{},
		"node-line3", "plc-line3", "operator-line3", "scada", "node-line4", "plc-line4")
	const line3, line4 = "dongguan/smt/line3/", "dongguan/smt/line4/"
	nobodyDoesMore(t, broker, []right{
		{user: "node-line3", below: line3, write: saidByAgent(), read: heardByAgent()},
		{user: "plc-line3", below: line3, write: saidByPLC(), read: heardByPLC()},
		{
			user: "operator-line3", below: line3, write: []topic.Leaf{topic.Override},
			read: []topic.Leaf{topic.OverrideAck, topic.Result},
		},
		{user: "node-line4", below: line4, write: saidByAgent(), read: heardByAgent()},
		{user: "plc-line4", below: line4, write: saidByPLC(), read: heardByPLC()},
		{user: "scada", below: "dongguan/smt/", read: []topic.Leaf{topic.Result, topic.State}},
	})
	turnedAway(t, "nobody", login(broker, "", ""))
	turnedAway(t, "an unknown user", login(broker, "stranger", "stranger"))
	turnedAway(t, "a wrong password", login(broker, "plc-line3", "node-line3"))
	state := stations(t)[0].Topic(topic.State)
	heard := listen(t, enter(t, broker, "everyone"))
	for _, user := range []string{"scada", "plc-line3", "node-line4", "node-line3"} {
		die(t, broker, user, state)
	}
	settle(t, enter(t, broker, "plc-line3").Publish(stations(t)[0].Topic(topic.Command), 1, false, lastWord))
	require.Equal(t, []string{"last will of node-line3"}, heard.until(t, func(m mqtt.Message) string {
		return string(m.Payload())
	}))
}

// Fault 31 in the cloud: a node has its own stations, and reads nothing.
func TestNobodyInTheCloudDoesMoreThanTheGuidesAccessListSays(t *testing.T) {
	broker := cloudGuide(t).again("line3", "line4").start(t, servers.MosquittoOptions{TLS: true},
		"bridge", "node-line3", "node-line4")
	nobodyDoesMore(t, broker, []right{
		{user: "node-line3", below: "dongguan/smt/line3/", write: saidByUplink()},
		{user: "node-line4", below: "dongguan/smt/line4/", write: saidByUplink()},
		{user: "bridge", read: saidByUplink()},
	})
	turnedAway(t, "nobody", login(broker, "", ""))
	turnedAway(t, "a node with another's password", login(broker, "node-line4", "node-line3"))
}

// What the pages say of two nodes on one line.
func TestNodesThatShareALineAreKeptApartByTheNamesOfTheirStations(t *testing.T) {
	const one, other = "line3/aoi-1/", "line3/aoi-2/"
	for name, c := range map[string]struct {
		guide       guide
		tls         bool
		write, read []topic.Leaf
	}{
		"line":  {guide: lineGuide(t), write: saidByAgent(), read: heardByAgent()},
		"cloud": {guide: cloudGuide(t), tls: true, write: saidByUplink()},
	} {
		t.Run(name, func(t *testing.T) {
			c.guide.access = strings.ReplaceAll(c.guide.access, "line3/+/", one)
			broker := c.guide.again("node-line3", "node-other", one, other).
				start(t, servers.MosquittoOptions{TLS: c.tls}, "node-line3", "node-other")
			nobodyDoesMore(t, broker, []right{
				{user: "node-line3", below: "dongguan/smt/" + one, write: c.write, read: c.read},
				{user: "node-other", below: "dongguan/smt/" + other, write: c.write, read: c.read},
			})
		})
	}
}

func TestTheBridgeNeedsNoMoreThanTheRightsThatItsGuideGives(t *testing.T) {
	broker := cloudGuide(t).start(t, servers.MosquittoOptions{
		TLS: true, Lines: []string{"require_certificate true"},
	}, "bridge", "node-line3")
	server := servers.NewKafka(t)
	authority, certificate, key := broker.Files()
	flags := func(user, password string) []string {
		file := filepath.Join(t.TempDir(), "password")
		require.NoError(t, os.WriteFile(file, []byte(password+"\n"), 0o600))
		return []string{
			"--mqtt", broker.URL(), "--mqtt-ca-file", authority, "--mqtt-cert-file", certificate,
			"--mqtt-key-file", key, "--mqtt-username", user, "--mqtt-password-file", file,
			"--kafka", server.Addr(), "--evidence-dir", t.TempDir(),
		}
	}
	bridge := startBridge(t, flags("bridge", "topsecret")...)
	require.Eventually(t, func() bool {
		return strings.Contains(bridge.log.String(), "connect to the mqtt broker")
	}, patience, 20*time.Millisecond)
	code, _ := bridge.get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	bridge.end(t, stopGently)
	require.NotContains(t, bridge.log.String(), "topsecret")
	bridge = startBridge(t, flags("bridge", "bridge")...)
	bridge.ready(t)
	for i, at := range append(stations(t), station(3)) {
		payload := inspectionOf(t, at, strconv.Itoa(i), 0, event.Pass)
		say(t, broker, "node-line3", []string{at.Topic(topic.Inspection)}, string(payload))
	}
	heard := map[string]bool{}
	follow(t, server.Addr(), record.Inspections, func(m kafka.Message) bool {
		heard[head(m, "ce_id")] = true
		return heard["0"] && heard["1"] && heard["4"]
	})
	require.Len(t, heard, 3, "of line 3 alone, whatever the node says")
	require.InDelta(t, 3, bridge.metric(t, "received_total"), 0)
}

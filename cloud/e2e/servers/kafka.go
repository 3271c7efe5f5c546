package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/kafka-go"
)

// kafkaReady bounds a start, two JVMs included; it takes 5 s on two quiet cores.
const kafkaReady = 90 * time.Second

// Kafka is one Apache Kafka node in KRaft mode: broker and controller in one process. Address and data
// survive Stop, Kill and Start. It is not safe for concurrent use.
type Kafka struct {
	tb         testing.TB
	java, libs string
	dir        string
	broker     int // port, and at the same time the node's id
	controller int
	proc       *process
}

// StartKafka starts a node that lives as long as the test and returns its address, host:port.
func StartKafka(tb testing.TB) (brokerAddr string) {
	tb.Helper()
	return NewKafka(tb).Addr()
}

// NewKafka starts a node that the test may stop, start, pause and resume.
func NewKafka(tb testing.TB) *Kafka {
	tb.Helper()
	leaveOutWhenShort(tb)
	k := &Kafka{tb: tb, dir: tb.TempDir()}
	var err error
	k.java, k.libs, err = locateKafka(repositoryRoot())
	must(tb, "find Apache Kafka", err)
	ports, err := freePorts(2)
	must(tb, "choose ports", err)
	k.broker, k.controller = ports[0], ports[1]
	must(tb, "configure Kafka", k.configure())
	must(tb, "format Kafka's storage", k.format())
	tb.Cleanup(k.finish)
	k.Start()
	return k
}

// Addr is the node's address, host:port.
func (k *Kafka) Addr() string { return address(k.broker) }

// Start runs the node on its port and data and returns when it answers for metadata.
func (k *Kafka) Start() {
	k.tb.Helper()
	p, err := spawn(k.java, k.jvm("kafka.Kafka", k.properties())...)
	must(k.tb, "start Kafka", err)
	k.proc = p
	must(k.tb, "start Kafka", p.await(kafkaReady, k.answers))
}

// Stop ends the node in order.
func (k *Kafka) Stop() { k.tb.Helper(); must(k.tb, "stop Kafka", k.proc.stop()) }

// Kill ends the node as a power cut does.
func (k *Kafka) Kill() { k.tb.Helper(); must(k.tb, "kill Kafka", k.proc.kill()) }

// Pause freezes the node: connections stay open and nothing answers.
func (k *Kafka) Pause() { k.tb.Helper(); must(k.tb, "pause Kafka", pause(k.proc)) }

// Resume lets a paused node go on.
func (k *Kafka) Resume() { k.tb.Helper(); must(k.tb, "resume Kafka", resume(k.proc)) }

// CreateTopics makes topics with the given number of partitions and waits until each has a leader.
func (k *Kafka) CreateTopics(partitions int, names ...string) {
	k.tb.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(k.Addr()), Timeout: 10 * time.Second, Transport: transport}
	request := &kafka.CreateTopicsRequest{}
	for _, name := range names {
		request.Topics = append(request.Topics,
			kafka.TopicConfig{Topic: name, NumPartitions: partitions, ReplicationFactor: 1})
	}
	response, err := client.CreateTopics(k.tb.Context(), request)
	must(k.tb, "create topics", err)
	for name, refused := range response.Errors {
		must(k.tb, "create topic "+name, refused)
	}
	must(k.tb, "wait for topic leaders", k.proc.await(kafkaReady, func(ctx context.Context) error {
		return haveLeaders(ctx, client, names)
	}))
}

func haveLeaders(ctx context.Context, client *kafka.Client, names []string) error {
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return err
	}
	for _, topic := range metadata.Topics {
		if topic.Error != nil {
			return topic.Error
		}
		for i := range topic.Partitions {
			if topic.Partitions[i].Leader.Host == "" {
				return fmt.Errorf("topic %s has no leader yet", topic.Name)
			}
		}
	}
	return nil
}

func (k *Kafka) finish() {
	if err := k.proc.stop(); err != nil {
		k.tb.Errorf("stop Kafka: %v", err)
	}
	k.proc.show(k.tb, "Kafka")
}

// answers asks for metadata and makes sure that it is this node that replies: its id is its port.
func (k *Kafka) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", k.Addr())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // only asked, nothing to flush
	if deadline, ok := ctx.Deadline(); ok {
		if err = conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	brokers, err := conn.Brokers()
	if err != nil {
		return err
	}
	if len(brokers) != 1 || brokers[0].ID != k.broker {
		return fmt.Errorf("port %d answers with brokers %v", k.broker, brokers)
	}
	return nil
}

func (k *Kafka) properties() string { return filepath.Join(k.dir, "server.properties") }

func (k *Kafka) configure() error {
	return os.WriteFile(k.properties(), []byte(strings.Join([]string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", k.broker),
		fmt.Sprintf("controller.quorum.voters=%d@%s", k.broker, address(k.controller)),
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s", address(k.broker), address(k.controller)),
		"advertised.listeners=PLAINTEXT://" + address(k.broker),
		"controller.listener.names=CONTROLLER",
		"log.dirs=" + filepath.Join(k.dir, "data"),
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=1",
		"group.initial.rebalance.delay.ms=0",
		"num.network.threads=2",
		"num.io.threads=2",
		"controlled.shutdown.enable=false", // there is no other node to hand leadership to
		// A node that comes back waits until the session of its earlier life has run out.
		"broker.session.timeout.ms=1500",
		"broker.heartbeat.interval.ms=300",
		"",
	}, "\n")), 0o600)
}

func (k *Kafka) format() error {
	id := uuid.New()
	args := k.jvm("kafka.tools.StorageTool", "format", "--cluster-id="+clusterID(id), "-c", k.properties())
	ctx, cancel := context.WithTimeout(context.Background(), kafkaReady)
	defer cancel()
	output, err := exec.CommandContext(ctx, k.java, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// jvm is the command line of a small, quickly started, quiet virtual machine.
func (k *Kafka) jvm(class string, args ...string) []string {
	return append([]string{
		"-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", filepath.Join(k.libs, "*"), class,
	}, args...)
}

// locateKafka finds a Java runtime on PATH and the jars that scripts/setup copied.
func locateKafka(root string) (java, libs string, err error) {
	java, err = exec.LookPath("java")
	if err != nil {
		return "", "", errors.New("no Java runtime on PATH: " + setupHint)
	}
	libs = filepath.Join(root, "build", "kafka", "libs")
	if found, err := filepath.Glob(filepath.Join(libs, "kafka_2.13-*.jar")); err != nil || len(found) == 0 {
		return "", "", fmt.Errorf("no Apache Kafka in %s: %s", libs, setupHint)
	}
	return java, libs, nil
}

// repositoryRoot is the folder that holds go.mod, as the compiler saw this file. Tests run from source.
func repositoryRoot() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

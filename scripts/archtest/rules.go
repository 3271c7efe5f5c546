package main

import "slices"

// rule says what packages may not import. A pattern names one package, or with /... a folder's packages;
// "..." is every package.
type rule struct {
	name   string
	from   []string // packages of the module that the rule is about
	except []string // of these, the ones that it is not about
	never  []string // what they may not import
	allow  []string // of these, what they may
	deep   bool     // forbids it to all that they import in turn as well
	layers [][]string
}

// architecture is docs/architecture.md in the form of rules.
func architecture() []rule {
	return slices.Concat(borders(), protocols(), drivers(), ways(), []rule{
		{name: "on the device imports run downward", layers: deviceLayers()},
		{name: "in the cloud imports run downward", layers: cloudLayers()},
	})
}

// borders keep device, cloud and what they share apart.
func borders() []rule {
	return []rule{
		{
			name:   "the cloud sees of the device only its events and topics",
			from:   []string{"cloud/..."},
			except: []string{"cloud/e2e/..."},
			never:  []string{"agent/..."},
			allow:  []string{"agent/event", "agent/topic"},
		},
		{
			name:  "the device knows nothing of the cloud",
			from:  []string{"agent/...", "models/..."},
			never: []string{"cloud/..."},
			deep:  true,
		},
		{
			name:  "the public packages need nothing internal",
			from:  []string{"agent/event", "agent/topic", "models/..."},
			never: []string{"agent/internal/...", "cloud/internal/..."},
			deep:  true,
		},
		{
			name:   "the wiring is imported by programs only",
			from:   []string{"..."},
			except: []string{"agent/cmd/...", "cloud/cmd/...", "cloud/e2e/..."},
			never:  []string{"agent/internal/app", "cloud/internal/app"},
		},
	}
}

// protocols keep each network protocol where it is spoken.
func protocols() []rule {
	return []rule{
		{
			name:  "Kafka is spoken in the cloud only",
			from:  []string{"agent/...", "models/..."},
			never: []string{"github.com/segmentio/kafka-go/...", "github.com/twmb/franz-go/..."},
			deep:  true,
		},
		{
			name:   "on the device only broker speaks MQTT",
			from:   []string{"agent/..."},
			except: []string{"agent/internal/broker/..."},
			never:  []string{"github.com/eclipse/paho.mqtt.golang/..."},
		},
		{
			name:   "in the cloud only its internal packages speak MQTT",
			from:   []string{"cloud/..."},
			except: []string{"cloud/internal/...", "cloud/e2e/..."},
			never:  []string{"github.com/eclipse/paho.mqtt.golang/..."},
		},
	}
}

// drivers keep foreign code, which may crash, out of what must not.
func drivers() []rule {
	return []rule{
		{
			name: "only camera, tensor, evidence and the worker's program touch OpenCV",
			from: []string{"..."},
			except: []string{
				"agent/internal/worker/camera/...", "agent/internal/worker/tensor/...",
				"agent/internal/worker/evidence/...", "agent/cmd/sightline-worker",
			},
			never: []string{"gocv.io/x/gocv/..."},
		},
		{
			name:   "only worker/infer/ort loads ONNX Runtime",
			from:   []string{"..."},
			except: []string{"agent/internal/worker/infer/ort"},
			never:  []string{"github.com/yalue/onnxruntime_go"},
		},
		{
			name:   "own cgo code lives in the worker only",
			from:   []string{"..."},
			except: []string{"agent/internal/worker/..."},
			never:  []string{"C"},
		},
		{
			name:  "the programs that must not die load no driver",
			from:  []string{"agent/cmd/sightline-agent", "agent/cmd/simboards", "cloud/cmd/..."},
			never: []string{"C", "gocv.io/x/gocv/...", "github.com/yalue/onnxruntime_go"},
			deep:  true,
		},
	}
}

// ways keep the two processes apart, and the way of a part free of the way to the cloud.
func ways() []rule {
	return []rule{
		{
			name:   "the supervisor reaches the worker over the socket only",
			from:   []string{"agent/internal/...", "agent/cmd/sightline-agent"},
			except: []string{"agent/internal/worker/..."},
			never:  []string{"agent/internal/worker/..."},
			deep:   true,
		},
		{
			name:  "the worker knows nothing of the supervisor",
			from:  []string{"agent/internal/worker/...", "agent/cmd/sightline-worker"},
			never: []string{"agent/..."},
			allow: []string{
				"agent/internal/worker/...", "agent/internal/wire", "agent/internal/frame",
				"agent/internal/latest", "agent/internal/monotime", "agent/internal/fsutil",
				"agent/internal/sparse",
			},
			deep: true,
		},
		{
			name: "the PLC's way shares nothing with the uplink",
			from: []string{
				"agent/internal/part", "agent/internal/plc/...", "agent/internal/verdict",
				"agent/internal/station", "agent/internal/vision/...",
			},
			never: []string{"agent/internal/uplink/...", "agent/internal/outbox/..."},
			deep:  true,
		},
	}
}

// deviceLayers, from the ground up: a package imports only from layers below its own, and from its own
// folder. The longest pattern that matches places a package.
func deviceLayers() [][]string {
	return [][]string{
		{
			"agent/topic", "models/strictyaml", "agent/internal/wire", "agent/internal/fsutil",
			"agent/internal/monotime", "agent/internal/sparse", "agent/internal/frame",
			"agent/internal/latest", "agent/internal/worker/camera/sim", "agent/internal/alloctest",
			"models/deeppcbtest", "models/onnxfile/...",
		},
		{
			"agent/event", "models/bundle/...", "agent/internal/broker/...", "agent/internal/template",
			"agent/internal/outbox", "agent/internal/part", "agent/internal/vision/...",
			"agent/internal/worker/camera/...",
		},
		{
			"models/draft", "agent/internal/config", "agent/internal/plc/...", "agent/internal/uplink",
			"agent/internal/evidence", "agent/internal/inspector", "agent/internal/samples",
			"agent/internal/drift",
			"agent/internal/worker/tensor", "agent/internal/worker/evidence",
			"agent/internal/worker/align/...", "agent/internal/worker/detect",
		},
		{
			"agent/internal/verdict", "agent/internal/recipe",
			"agent/internal/worker/decode", "agent/internal/worker/pairing",
		},
		{
			"agent/internal/station", "agent/internal/eval", "agent/internal/health",
			"agent/internal/worker/tiles", "agent/internal/worker/compare",
		},
		{
			"agent/internal/app", "agent/internal/bench", "agent/internal/worker/infer/...",
			"agent/internal/worker/capture",
		},
		{"agent/internal/worker"},
		{"agent/cmd/..."},
	}
}

// cloudLayers are the same for the cloud. What it sees of the device lies below all of them.
func cloudLayers() [][]string {
	return [][]string{
		{"cloud/internal/record", "cloud/internal/embedded"},
		{"cloud/internal/bridge", "cloud/internal/evidence", "cloud/internal/watch"},
		{"cloud/internal/app", "cloud/internal/demo"},
		{"cloud/cmd/...", "cloud/e2e/..."},
	}
}

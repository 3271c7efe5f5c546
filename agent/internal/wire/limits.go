package wire

import "time"

// LongestLoad is of one session, from its files to its golden samples. TensorRT builds an engine for many
// minutes on a small node, and one that is cut off begins anew: the limit is for what never comes back. The
// worker keeps it; who waits for a worker waits as long.
const LongestLoad = 30 * time.Minute

// ReasonLoading is the reason of a station in PHASE_OPENING whose bundle is being loaded. Others know the
// state by it: it is event.ReasonLoading.
const ReasonLoading = "loading the bundle"

// PlainFrame is the number of the picture that is the frame as it came.
const PlainFrame = -1

// ShadowPictures is added to Evidence.n of what a shadow sees.
const ShadowPictures = 1000

// MaxCorners bounds the outline of a detection: that of a mask is simplified to so many.
const MaxCorners = 64

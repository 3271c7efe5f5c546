package wire

// The levels of a Heat are scores from −1 up to 2 in even steps, so that one begins at 0.5, the threshold. A
// score of the line is between 0 and 1; beyond that places and images still differ.
const (
	HeatLevels = 1 << 16
	heatLow    = -1
	heatRange  = 3
)

// MaxHeat bounds the places of a Heat: 2048×2048.
const MaxHeat = 1 << 22

// HeatLevel is the level of a score.
func HeatLevel(score float64) uint16 {
	return uint16(min(max((score-heatLow)*HeatLevels/heatRange, 0), HeatLevels-1))
}

// HeatScore is the least score of a level, but for the first, which has no least.
func HeatScore(level int) float64 { return float64(level)*heatRange/HeatLevels + heatLow }

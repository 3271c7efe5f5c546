package eval

import (
	"cmp"
	"slices"
)

// scored is an image, and whether it shows a defect.
type scored struct {
	score     float64
	defective bool
}

// descending sorts the highest score first.
func descending(all []scored) {
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
}

// groups calls visit with how many good and defective ones share a score, the highest score first. It sorts
// its input.
func groups(all []scored, visit func(score float64, good, defective int)) {
	descending(all)
	for i := 0; i < len(all); {
		good, defective, from := 0, 0, i
		for ; i < len(all) && all[i].score == all[from].score; i++ {
			if all[i].defective {
				defective++
			} else {
				good++
			}
		}
		visit(all[from].score, good, defective)
	}
}

// auroc is how likely a defective one scores higher than a good one, of equal scores one half: the area under
// the receiver operating characteristic. Nil where one of both kinds is missing.
func auroc(all []scored) *float64 {
	goods, defects, area := 0, 0, 0.0
	groups(all, func(_ float64, good, defective int) {
		area += float64(good) * (float64(defects) + float64(defective)/2)
		goods, defects = goods+good, defects+defective
	})
	if goods == 0 || defects == 0 {
		return nil
	}
	area /= float64(goods) * float64(defects)
	return &area
}

// bestF is the highest F-score of defective ones that any threshold gives, and the highest threshold that
// gives it: a score that is reached counts. Zero without defective ones.
func bestF(all []scored) (best, threshold float64) {
	labels := 0
	for _, one := range all {
		if one.defective {
			labels++
		}
	}
	c := counts{labels: labels}
	groups(all, func(score float64, good, defective int) {
		c.add(counts{truePositives: defective, detections: good + defective})
		if _, _, f := c.scores(); f > best {
			best, threshold = f, score
		}
	})
	return best, threshold
}

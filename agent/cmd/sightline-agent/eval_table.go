package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/sightline-edge/sightline/agent/internal/eval"
	"github.com/sightline-edge/sightline/models/bundle"
)

// rows writes lines of a table.
type rows func(format string, values ...any)

// evalTable writes the figures of the whole, and then those of each class or kind. The columns of a block are
// its own.
func evalTable(w *tabwriter.Writer, r *eval.Report) {
	row := rows(func(format string, values ...any) { _, _ = fmt.Fprintf(w, format+"\n", values...) })
	row("bundle\t%s %s on %s, %d threads, spinning %s", r.Bundle, r.Version, r.Provider, r.Threads,
		r.Spinning)
	row("data\t%s", evalData(r))
	row("")
	switch {
	case r.Anomalies != nil:
		row.anomalies(r)
	case r.Classification != nil:
		row.classification(r)
	default:
		row.boxes(r)
	}
	row.times(r)
	row("")
	switch {
	case r.Anomalies != nil:
		row.kinds(r)
	case r.Classification != nil:
		row.confusion(r)
	default:
		row.classes(r)
	}
}

func (row rows) times(r *eval.Report) {
	row("model\t%.1f ms\tp50 of its own run; p99 %.1f ms", r.MsP50, r.MsP99)
	row("inspection\t%.1f ms\tp50 from a frame in memory; p99 %.1f ms; %.1f images a second",
		r.InspectionMsP50, r.InspectionMsP99, r.FPS)
}

func (row rows) boxes(r *eval.Report) {
	if r.Task != bundle.TaskDetection && r.MaskMAP50 == nil {
		row("task\t%s: measured by the upright boxes around what is found, not by outlines", r.Task)
	}
	row("map_iou33\t%.4f\tmean average precision, IoU over 0.33", r.MAPIoU33)
	row("f_iou33\t%.4f\tat the bundle's thresholds: precision %.4f, recall %.4f",
		r.FIoU33, r.Precision, r.Recall)
	if r.Clean > 0 {
		row("clean_alarmed\t%d\tof %d images without a label: with a detection at the bundle's thresholds",
			r.CleanAlarmed, r.Clean)
	}
	row("map50\t%.4f\tCOCO's, IoU 0.50", r.MAP50)
	row("map50_95\t%.4f\tCOCO's, mean of IoU 0.50 to 0.95", r.MAP5095)
	if r.MaskMAP50 != nil {
		row("mask_map50\t%.4f\tthe same of masks instead of boxes", *r.MaskMAP50)
		row("mask_map50_95\t%.4f", *r.MaskMAP5095)
	}
}

func (row rows) classes(r *eval.Report) {
	masks := ""
	if r.MaskMAP50 != nil {
		masks = "\tmask_ap50\tmask_ap50_95"
	}
	row("class\tlabels\tap_iou33\tap50\tap50_95\tprecision\trecall\tf\tthreshold%s", masks)
	for _, k := range r.Classes {
		masks = ""
		if k.MaskAP50 != nil {
			masks = fmt.Sprintf("\t%.4f\t%.4f", *k.MaskAP50, *k.MaskAP5095)
		}
		row("%s\t%6d\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.2f%s",
			k.Class, k.Labels, k.APIoU33, k.AP50, k.AP5095, k.Precision, k.Recall, k.F, k.Threshold, masks)
	}
}

// judgement is what a line would do.
func (row rows) judgement(r *eval.Report) {
	if r.Good > 0 {
		row("false_rejects\t%d\tof %d good parts do not pass at the bundle's thresholds", r.FalseRejects,
			r.Good)
	}
	if r.Defective > 0 {
		row("false_accepts\t%d\tof %d defective parts pass", r.FalseAccepts, r.Defective)
	}
}

func (row rows) anomalies(r *eval.Report) {
	a := r.Anomalies
	if a.ImageAUROC != nil {
		row("image_auroc\t%.4f\tscores of images: defective over good", *a.ImageAUROC)
	}
	row("image_f\t%.4f\tat the bundle's threshold, %.3f", a.ImageF, a.Threshold)
	row("image_f_best\t%.4f\tat the threshold %.3f, the best for these images", a.ImageFBest, a.ThresholdBest)
	row.judgement(r)
	if a.PixelAUROC != nil {
		row("pixel_auroc\t%.4f\tplaces of the map against %d masks", *a.PixelAUROC, a.Masks)
		row("aupro\t%.4f\toverlap with %d regions of masks, up to a false positive rate of 0.3", *a.AUPRO,
			a.Regions)
		row("pixel_f\t%.4f\tat the map's threshold, 0.5", *a.PixelF)
		row("pixel_f_best\t%.4f\tat the score %.3f, the best for these masks", *a.PixelFBest,
			*a.PixelThresholdBest)
	}
}

func (row rows) kinds(r *eval.Report) {
	row("kind\timages\trejected\tauroc")
	for _, k := range r.Kinds {
		against := ""
		if k.AUROC != nil {
			against = fmt.Sprintf("%.4f", *k.AUROC)
		}
		row("%s\t%6d\t%8d\t%s", k.Kind, k.Images, k.Rejected, against)
	}
}

func (row rows) classification(r *eval.Report) {
	row("accuracy\t%.4f\timages whose class scores highest", r.Accuracy)
	row("f_macro\t%.4f\tmean over the classes", r.MacroF)
	row.judgement(r)
}

// confusion writes the figures of each class, and which classes its images were taken for.
func (row rows) confusion(r *eval.Report) {
	row("class\timages\tprecision\trecall\tf\tthreshold\ttaken for")
	for _, k := range r.Classes {
		row("%s\t%6d\t%.4f\t%.4f\t%.4f\t%.2f\t%s", k.Class, k.Labels, k.Precision, k.Recall, k.F, k.Threshold,
			mistaken(r, k.Class))
	}
}

// mistaken lists what else the images of a class were taken for.
func mistaken(r *eval.Report, class string) string {
	var others []string
	for i, n := range r.Confusion[slices.Index(r.Names, class)] {
		name := "none"
		if i < len(r.Names) {
			name = r.Names[i]
		}
		if n > 0 && name != class {
			others = append(others, fmt.Sprintf("%s %d", name, n))
		}
	}
	return strings.Join(others, ", ")
}

// evalData says what was evaluated, and what of it a person may not have expected.
func evalData(r *eval.Report) string {
	if r.Boxes == nil {
		return fmt.Sprintf("%s: %d images", r.Layout, r.Images)
	}
	words := []string{fmt.Sprintf("%s: %d images, %d labels", r.Layout, r.Images, r.Labels)}
	if r.Ignored > 0 {
		words = append(words, fmt.Sprintf("%d ignored regions", r.Ignored))
	}
	if r.Unlabelled > 0 {
		words = append(words,
			fmt.Sprintf("%d images without a file of labels, taken as free of defects", r.Unlabelled))
	}
	classes := "classes by " + r.ClassesBy
	if r.ClassesBy == "none" {
		classes = "all of one class"
	}
	return strings.Join(append(words, classes), ", ")
}

package camera

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	require.NoError(t, err)
	_, err = f.Write(data)
	require.NoError(t, errors.Join(err, f.Close()))
}

// play starts a camera and collects what it gives until its end, at most n.
func play(t *testing.T, uri string, n int) (sources []string, errs []error) {
	t.Helper()
	c, err := Start(t.Context(), uri, Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	for range n {
		f, err := c.Next(t.Context(), 0, in(10*time.Second))
		if errors.Is(err, io.EOF) {
			return sources, errs
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sources = append(sources, f.Source)
		f.Release()
	}
	return sources, errs
}

func boardsFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	gray := image.NewGray(image.Rect(0, 0, 64, 48))
	write(t, dir, "b_test.png", asPNG(t, gray))
	write(t, dir, "a_test.jpg", asJPEG(t, gray))
	write(t, dir, "c_temp.png", asPNG(t, gray))
	write(t, dir, "notes.txt", []byte("no image"))
	write(t, dir, ".hidden.png", asPNG(t, gray))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "z.png"), 0o700))
	return dir
}

func TestFolderIsReadInTheOrderOfItsNames(t *testing.T) {
	dir := boardsFolder(t)
	names, errs := play(t, "dir:"+dir, 100)
	require.Empty(t, errs)
	require.Equal(t, []string{"a_test.jpg", "b_test.png", "c_temp.png"}, names)

	names, errs = play(t, "dir:"+dir+"?glob=*_test.*", 100)
	require.Empty(t, errs)
	require.Equal(t, []string{"a_test.jpg", "b_test.png"}, names)
}

func TestFolderThatLoopsBeginsAgain(t *testing.T) {
	names, errs := play(t, "dir:"+boardsFolder(t)+"?glob=*_test.*&loop=true", 5)
	require.Empty(t, errs)
	require.Equal(t, []string{"a_test.jpg", "b_test.png", "a_test.jpg", "b_test.png", "a_test.jpg"}, names)
}

func TestFolderAtARateBringsFramesUnasked(t *testing.T) {
	c, err := Start(t.Context(), "dir:"+boardsFolder(t)+"?rate=50&loop=true", Options{})
	require.NoError(t, err)
	begin := monotime.Now()
	for range 6 {
		f, err := c.Next(t.Context(), 0, in(10*time.Second))
		require.NoError(t, err)
		f.Release()
	}
	require.GreaterOrEqual(t, monotime.Since(begin), 80*time.Millisecond)
	require.True(t, c.State().Paced)
	require.NoError(t, c.Close())
}

func TestBadFilesOfAFolderAreNamedAndPassedOver(t *testing.T) {
	dir := boardsFolder(t)
	good := asJPEG(t, image.NewGray(image.Rect(0, 0, 64, 48)))
	write(t, dir, "a_truncated.jpg", good[:len(good)/2])
	write(t, dir, "b_empty.png", nil)
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "b_pipe.png"), 0o600))
	names, errs := play(t, "dir:"+dir, 100)
	require.Equal(t, []string{"a_test.jpg", "b_test.png", "c_temp.png"}, names)
	require.Len(t, errs, 3)
	for i, want := range []string{"a_truncated.jpg", "b_empty.png", "b_pipe.png"} {
		require.ErrorIs(t, errs[i], ErrBadFrame)
		require.ErrorContains(t, errs[i], want)
	}
}

func TestFileOfMoreThanTheLimitIsNotRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "huge.jpg", []byte("\xff\xd8\xff"))
	require.NoError(t, os.Truncate(filepath.Join(dir, "huge.jpg"), maxFileBytes+1))
	taken := allocated(func() {
		_, errs := play(t, "file:"+dir+"/huge.jpg", 1)
		require.Len(t, errs, 1)
		require.ErrorContains(t, errs[0], "at most 536870912 are read")
	})
	require.Less(t, taken, uint64(1<<20))
}

func TestOneImage(t *testing.T) {
	dir := boardsFolder(t)
	names, errs := play(t, "file:"+dir+"/b_test.png", 10)
	require.Empty(t, errs)
	require.Equal(t, []string{"b_test.png"}, names)
	names, _ = play(t, "file:"+dir+"/b_test.png?loop=true", 3)
	require.Len(t, names, 3)
}

func TestEmptyOrAbsentFolderFailsUntilItIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	ready := make(chan State, 10)
	c, err := Start(t.Context(), "dir:"+dir, Options{OnState: func(s State) { ready <- s }})
	require.NoError(t, err)
	s := <-ready
	require.Equal(t, Failed, s.Phase)
	require.Contains(t, s.Reason, "no such file")
	require.NoError(t, os.Mkdir(dir, 0o700))
	s = <-ready
	require.Contains(t, s.Reason, "no file in")
	write(t, dir, "a.png", asPNG(t, image.NewGray(image.Rect(0, 0, 4, 4))))
	f, err := c.Next(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Equal(t, "a.png", f.Source)
	f.Release()
	require.NoError(t, c.Close())
}

func TestPreloadedImagesAreThoseOfTheFolderWithoutDecoding(t *testing.T) {
	dir := t.TempDir()
	for i, level := range []uint8{10, 200} {
		writePNG(t, filepath.Join(dir, fmt.Sprintf("%d.png", i)), level)
	}
	s, err := openSource(parsed(t, "dir:"+dir+"?preload=true"), Options{})
	require.NoError(t, err)
	var f frame.Frame
	defer f.Release()
	for i, level := range []uint8{10, 200} {
		require.NoError(t, s.Read(&f))
		require.Equal(t, fmt.Sprintf("%d.png", i), f.Source)
		require.Equal(t, level, f.Pix[0])
	}
	require.ErrorIs(t, s.Read(&f), io.EOF)
	again, err := openSource(parsed(t, "dir:"+dir+"?preload=true&loop=true"), Options{})
	require.NoError(t, err)
	for _, level := range []uint8{10, 200, 10} {
		require.NoError(t, again.Read(&f))
		require.Equal(t, level, f.Pix[0])
	}
}

func writePNG(t *testing.T, name string, level uint8) {
	t.Helper()
	picture := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range picture.Pix {
		picture.Pix[i] = level
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, picture))
	require.NoError(t, os.WriteFile(name, b.Bytes(), 0o600))
}

func TestAnImageComesWithItsTemplate(t *testing.T) {
	dir := t.TempDir()
	for name, gray := range map[string]uint8{"a_test.png": 10, "a_temp.png": 20, "b_test.png": 30} {
		writePNG(t, filepath.Join(dir, name), gray)
	}
	for _, options := range []string{"", "&preload=true"} {
		s, err := parse("dir:" + dir + "?glob=a_test.png&template=_test:_temp" + options)
		require.NoError(t, err)
		images, err := openFolder(s)
		require.NoError(t, err)
		f := &frame.Frame{}
		require.NoError(t, images.Read(f))
		require.Equal(t, uint8(10), f.Pix[0])
		require.NotNil(t, f.Template)
		require.Equal(t, uint8(20), f.Template.Pix[0])
		require.Equal(t, "a_test.png", f.Source)
		f.Release()
		require.Nil(t, f.Template)
	}
}

func TestAnImageWhoseTemplateIsNotThereIsABadFrame(t *testing.T) {
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "b_test.png"), 30)
	for _, names := range []string{"_test:_temp", "_other:_temp"} {
		s, err := parse("dir:" + dir + "?template=" + names)
		require.NoError(t, err)
		images, err := openFolder(s)
		require.NoError(t, err)
		f := &frame.Frame{}
		require.ErrorIs(t, images.Read(f), ErrBadFrame)
		f.Release()
	}
	for _, names := range []string{"_test", ":_temp", "a:a", "a:../b"} {
		_, err := parse("dir:" + dir + "?template=" + names)
		require.ErrorContains(t, err, "such as _test:_temp", names)
	}
}

func TestAPictureIsReadInGrayIfAskedAndItsFileHashed(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 16, 8))
	for i := range img.Pix {
		img.Pix[i] = uint8(i)
	}
	raw := asJPEG(t, img)
	dir := t.TempDir()
	write(t, dir, "golden.jpg", raw)
	for gray, channels := range map[bool]int{false: 3, true: 1} {
		f := &frame.Frame{}
		sum, err := ReadPicture(f, filepath.Join(dir, "golden.jpg"), gray)
		require.NoError(t, err)
		require.Equal(t, sha256.Sum256(raw), sum)
		require.Equal(t, [3]int{16, 8, channels}, [3]int{f.Width, f.Height, f.Channels})
		f.Release()
	}
	_, err := ReadPicture(&frame.Frame{}, filepath.Join(dir, "none.jpg"), true)
	require.ErrorIs(t, err, ErrBadFrame)
}

func TestALargePictureLeavesNothingOnTheHeap(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sheet.png")
	writeLarge(t, name)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var sheet frame.Frame
	defer sheet.Release()
	_, err := ReadPicture(&sheet, name, true)
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(largePicture/4))
}

// writeLarge writes the smallest picture that is large.
func writeLarge(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	require.NoError(t, err)
	fast := png.Encoder{CompressionLevel: png.BestSpeed}
	err = fast.Encode(f, image.NewGray(image.Rect(0, 0, 1<<13, largePicture>>13)))
	require.NoError(t, errors.Join(err, f.Close()))
}

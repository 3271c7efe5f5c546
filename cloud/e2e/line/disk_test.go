package line_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	diskBytes = 64 << 20
	hangLimit = "20" // seconds after which a frozen disk goes on by itself, whatever becomes of the test
)

// disk is a file system of its own in an image, seen only by the program that is started with it.
type disk struct {
	t            *testing.T
	image, mount string
	pid          int // of the program
	frozen       *exec.Cmd
	letGo        io.Closer
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	if testing.Short() {
		t.Skip("starts mosquitto and the worker")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a disk that can be filled and frozen; continuous integration is root")
	}
	dir := t.TempDir()
	d := &disk{t: t, image: filepath.Join(dir, "disk"), mount: filepath.Join(dir, "mount")}
	require.NoError(t, os.Mkdir(d.mount, 0o700))
	require.NoError(t, os.WriteFile(d.image, nil, 0o600))
	require.NoError(t, os.Truncate(d.image, diskBytes))
	out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", d.image).CombinedOutput()
	require.NoError(t, err, "%s", out)
	probe := d.command()
	if out, err := exec.Command(probe[0], append(probe[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("this machine lets nobody mount an image (a container without the right to?): %s", out)
	}
	return d
}

// command is what stands before the program's own.
func (d *disk) command() []string {
	const script = `mount -o loop "$0" "$1" && shift && exec "$@"`
	return []string{"unshare", "-m", "sh", "-c", script, d.image, d.mount}
}

// seen is the disk's root as others see it through the program.
func (d *disk) seen() string { return "/proc/" + strconv.Itoa(d.pid) + "/root" + d.mount }

func (d *disk) filler() string { return filepath.Join(d.seen(), "filler") }

// fill leaves no block.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(d.filler())
	require.NoError(d.t, err)
	defer func() { _ = f.Close() }()
	end := int64(0)
	for chunk := int64(diskBytes); chunk >= 512; chunk /= 2 {
		for {
			err = unix.Fallocate(int(f.Fd()), 0, end, chunk)
			if err != nil {
				break
			}
			end += chunk
		}
		require.ErrorIs(d.t, err, unix.ENOSPC)
	}
}

func (d *disk) free() { d.t.Helper(); require.NoError(d.t, os.Remove(d.filler())) }

// freeze makes every write wait. The one who froze it lets go when told, when this process ends, or after a
// while: a program that waits for a disk cannot be killed.
func (d *disk) freeze() {
	d.t.Helper()
	d.frozen = exec.Command("bash", "-c", `fsfreeze -f "$0" && echo && read -rt "$1"; fsfreeze -u "$0"`,
		d.seen(), hangLimit)
	hold, err := d.frozen.StdinPipe()
	require.NoError(d.t, err)
	said, err := d.frozen.StdoutPipe()
	require.NoError(d.t, err)
	require.NoError(d.t, d.frozen.Start())
	d.letGo = hold
	d.t.Cleanup(func() { _ = hold.Close() })
	_, err = said.Read(make([]byte, 1))
	require.NoError(d.t, err, "fsfreeze")
}

func (d *disk) thaw() {
	d.t.Helper()
	require.NoError(d.t, d.letGo.Close())
	require.NoError(d.t, d.frozen.Wait())
}

package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

const (
	magic          = "SLR1"
	headerBytes    = 40
	maxRecordBytes = headerBytes + MaxTopicBytes + MaxPayloadBytes
)

// Record is a stored entry.
type Record struct {
	Entry

	Sequence uint64
	stored   int64
	boot     uint32
}

var (
	errShort  = errors.New("record is cut off")
	errHeader = errors.New("no record here")
	errBody   = errors.New("record is damaged")
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // the table itself is made once

func recordBytes(e Entry) int { return headerBytes + len(e.Topic) + len(e.Payload) }

func appendRecord(b []byte, r Record) []byte {
	begin := len(b)
	b = append(b, magic...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Payload)))
	b = binary.LittleEndian.AppendUint64(b, r.Sequence)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.stored))
	b = binary.LittleEndian.AppendUint32(b, r.boot)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Topic)))
	b = append(b, byte(r.Priority), 0)
	b = append(b, r.Topic...)
	b = append(b, r.Payload...)
	record := b[begin:]
	binary.LittleEndian.PutUint32(record[8:], crc32.Checksum(record[headerBytes:], castagnoli()))
	binary.LittleEndian.PutUint32(record[4:], crc32.Checksum(record[8:headerBytes], castagnoli()))
	return b
}

// parseRecord reads the record at the begin of b and returns its whole size. The payload shares b's memory.
// With errBody the size can be believed; with errShort b holds less than the record, or than a header.
func parseRecord(b []byte) (Record, int, error) {
	var r Record
	if len(b) < headerBytes {
		return r, 0, errShort
	}
	headSum := crc32.Checksum(b[8:headerBytes], castagnoli())
	if string(b[:4]) != magic || binary.LittleEndian.Uint32(b[4:]) != headSum {
		return r, 0, errHeader
	}
	payload := int(binary.LittleEndian.Uint32(b[12:]))
	topic := int(binary.LittleEndian.Uint16(b[36:]))
	r.Priority = Priority(b[38])
	if payload > MaxPayloadBytes || topic == 0 || topic > MaxTopicBytes || r.Priority >= priorities {
		return r, 0, errHeader
	}
	size := headerBytes + topic + payload
	if len(b) < size {
		return r, size, errShort
	}
	body := b[headerBytes:size]
	if binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(body, castagnoli()) {
		return r, size, errBody
	}
	r.Sequence = binary.LittleEndian.Uint64(b[16:])
	r.stored = int64(binary.LittleEndian.Uint64(b[24:]))
	r.boot = binary.LittleEndian.Uint32(b[32:])
	r.Topic = string(body[:topic])
	r.Payload = body[topic:len(body):len(body)]
	return r, size, nil
}

// nextRecord returns the offset of the first whole record in b behind offset 0, or -1.
func nextRecord(b []byte) int {
	for at := 1; at < len(b); at++ {
		found := bytes.Index(b[at:], []byte(magic))
		if found < 0 {
			return -1
		}
		at += found
		if _, _, err := parseRecord(b[at:]); err == nil {
			return at
		}
	}
	return -1
}

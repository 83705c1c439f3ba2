// Package pharos sends log lines to Pharos over HTTP, with the standard library alone.
//
//	writer := pharos.New(os.Getenv("PHAROS_URL"), os.Getenv("PHAROS_API_KEY"))
//	defer writer.Close()
//	log := slog.New(slog.NewJSONHandler(writer, nil)).With("service", "shop") // Go 1.21
//
// It is an io.Writer that takes a JSON object with each Write, so it also serves Zap (zapcore.AddSync) and Logrus
// (SetOutput, with the JSONFormatter). Write never blocks: what finds no room is dropped and counted.
package pharos

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	batch   = 500                    // lines
	every   = 100 * time.Millisecond // between two batches
	buffer  = 10_000                 // lines
	waitMax = 30 * time.Second
)

// Writer sends what is written to it.
type Writer struct {
	url, key string
	lines    chan []byte
	done     chan struct{}
	dropped  int64
	client   http.Client
}

// New starts the goroutine that sends.
func New(url, key string) *Writer {
	w := &Writer{url: url + "/api/logs", key: key, lines: make(chan []byte, buffer), done: make(chan struct{})}
	w.client.Timeout = 5 * time.Second
	go w.run()
	return w
}

// Write takes one line.
func (w *Writer) Write(line []byte) (int, error) {
	kept := append(bytes.TrimRight(append([]byte(nil), line...), "\n"), '\n')
	select {
	case w.lines <- kept:
	default:
		atomic.AddInt64(&w.dropped, 1)
	}
	return len(line), nil
}

// Close sends what is left, once. Nothing may be written afterwards.
func (w *Writer) Close() error {
	close(w.lines)
	<-w.done
	return nil
}

func (w *Writer) run() {
	defer close(w.done)
	for open := true; open; {
		var lines [][]byte
		lines, open = w.gather()
		for wait := time.Second; len(lines) > 0; {
			pause := w.send(lines)
			if pause < 0 {
				break
			}
			if !open {
				fmt.Fprintf(os.Stderr, "pharos: %d lines were not sent before the end\n", len(lines))
				break
			}
			if pause == 0 {
				pause = wait
				if wait *= 2; wait > waitMax {
					wait = waitMax
				}
			}
			time.Sleep(pause)
		}
	}
}

// gather waits for the first line, and for others for a moment; false when there will be no more.
func (w *Writer) gather() ([][]byte, bool) {
	first, open := <-w.lines
	if !open {
		return nil, false
	}
	lines, late := [][]byte{first}, time.After(every)
	if dropped := atomic.SwapInt64(&w.dropped, 0); dropped > 0 {
		lines = append(lines, []byte(fmt.Sprintf(
			"{\"level\":\"warn\",\"service\":\"pharos\",\"message\":\"%d lines were dropped\"}\n", dropped)))
	}
	for len(lines) < batch {
		select {
		case line, open := <-w.lines:
			if !open {
				return lines, false
			}
			lines = append(lines, line)
		case <-late:
			return lines, true
		}
	}
	return lines, true
}

// send returns how long to wait before the lines are sent again: 0 if the answer didn't say, below 0 for never.
func (w *Writer) send(lines [][]byte) time.Duration {
	var body bytes.Buffer
	packed, _ := gzip.NewWriterLevel(&body, gzip.BestSpeed)
	for _, line := range lines {
		_, _ = packed.Write(line)
	}
	_ = packed.Close()
	request, err := http.NewRequest(http.MethodPost, w.url, &body)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pharos:", err)
		return -1
	}
	request.Header.Set("Authorization", "Bearer "+w.key)
	request.Header.Set("Content-Type", "application/x-ndjson")
	request.Header.Set("Content-Encoding", "gzip")
	answer, err := w.client.Do(request)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pharos: away, lines are kept:", err)
		return 0
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	switch {
	case answer.StatusCode < 300:
		return -1
	case answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= 500:
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		return time.Duration(seconds) * time.Second
	default:
		fmt.Fprintf(os.Stderr, "pharos: %d lines are dropped: HTTP %d %s\n", len(lines), answer.StatusCode, text)
		return -1
	}
}

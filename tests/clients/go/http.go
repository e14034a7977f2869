package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// As it comes; GODEBUG=http2client=0 keeps it to HTTP/1.1.
var client = http.DefaultClient

func get(url string) (*http.Response, error) {
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != 200 {
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return response, nil
}

// URL BYTES READ: one answer of so many bytes, taken in reads of READ.
func getLarge(args []string) error {
	response, err := get(args[0])
	if err != nil {
		return err
	}
	defer response.Body.Close()
	buffer := make([]byte, number(args[2]))
	var got int64
	for {
		n, err := response.Body.Read(buffer)
		got += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", got, err)
		}
	}
	if got != number(args[1]) {
		return fmt.Errorf("%d bytes came", got)
	}
	return nil
}

// URL SHA256 TIMES: the transport asks for gzip and unpacks it itself; lines are read through a bufio.Reader.
func getGzip(args []string) error {
	for i := int64(0); i < number(args[2]); i++ {
		response, err := get(args[0])
		if err != nil {
			return fmt.Errorf("answer %d: %w", i, err)
		}
		if !response.Uncompressed {
			return fmt.Errorf("answer %d was not compressed", i)
		}
		sum := sha256.New()
		reader := bufio.NewReader(response.Body)
		for {
			line, err := reader.ReadSlice('\n')
			sum.Write(line)
			if err == io.EOF {
				break
			}
			if err != nil && err != bufio.ErrBufferFull {
				return fmt.Errorf("answer %d: %w", i, err)
			}
		}
		response.Body.Close()
		if hex.EncodeToString(sum.Sum(nil)) != args[1] {
			return fmt.Errorf("answer %d: other bytes came", i)
		}
	}
	return nil
}

// URL WANTED COUNT AT_ONCE: small answers.
func getMessages(args []string) error {
	// The first request alone, so that the others share its connection.
	if err := getMessage(args[0], args[1]); err != nil {
		return err
	}
	atOnce := number(args[3])
	errs := make(chan error, atOnce)
	var group sync.WaitGroup
	for i := int64(0); i < atOnce; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := number(args[2]) / atOnce; n > 0; n-- {
				if err := getMessage(args[0], args[1]); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	group.Wait()
	close(errs)
	return <-errs
}

func getMessage(url, wanted string) error {
	response, err := get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if string(body) != wanted {
		return fmt.Errorf("%q came", body)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0
	}
	return len(p), nil
}

// URL BYTES: an upload of so many bytes; the origin says how many came.
func postLarge(args []string) error {
	response, err := client.Post(args[0], "application/octet-stream", io.LimitReader(zeros{}, number(args[1])))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || string(body) != args[1] {
		return fmt.Errorf("%s %q %v", response.Status, body, err)
	}
	return nil
}

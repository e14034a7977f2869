// Command clients speaks to a sluice as programs in Go do: net/http with its default transport, grpc-go with its defaults; and it is
// the server behind it. Each command exits 0 only if every byte that came is right.
package main

import (
	"fmt"
	"os"
	"strconv"
)

var commands = map[string]func(args []string) error{
	"origin":       origin,
	"get-large":    getLarge,
	"get-gzip":     getGzip,
	"get-messages": getMessages,
	"post-large":   postLarge,
	"grpc-unary":   grpcUnary,
	"grpc-chat":    grpcChat,
	"grpc-down":    grpcDown,
	"grpc-up":      grpcUp,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: clients COMMAND ARGUMENT ...")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return n
}

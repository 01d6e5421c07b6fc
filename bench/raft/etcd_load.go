// Puts to etcd, so many in flight, each answered when it is on the disks of a majority. Prints one
// line: puts, seconds, and the 50th and 99th percentile of their latency in microseconds.
//
// usage: etcd_load ENDPOINTS IN_FLIGHT SECONDS VALUE_BYTES
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/clientv3"
)

const connections = 8 // of HTTP/2, each of which carries many requests

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd_load:", err)
		os.Exit(1)
	}
}

func number(word string) int {
	value, err := strconv.Atoi(word)
	check(err)
	return value
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: etcd_load ENDPOINTS IN_FLIGHT SECONDS VALUE_BYTES")
		os.Exit(2)
	}
	inFlight, seconds, bytes := number(os.Args[2]), number(os.Args[3]), number(os.Args[4])
	var clients []*clientv3.Client
	for i := 0; i < connections && i < inFlight; i++ {
		client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(os.Args[1], ","),
			DialTimeout: 5 * time.Second})
		check(err)
		clients = append(clients, client)
	}
	value := strings.Repeat("x", bytes)
	for _, client := range clients { // connected, and there is a leader
		wait, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		_, err := client.Put(wait, "warm", value)
		cancel()
		check(err)
	}
	latencies := make([][]time.Duration, inFlight)
	var all sync.WaitGroup
	begin := time.Now()
	end := begin.Add(time.Duration(seconds) * time.Second)
	for i := 0; i < inFlight; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			key := fmt.Sprintf("key-%d", i)
			for began := time.Now(); began.Before(end); began = time.Now() {
				_, err := clients[i%len(clients)].Put(context.Background(), key, value)
				check(err)
				latencies[i] = append(latencies[i], time.Since(began))
			}
		}(i)
	}
	all.Wait()
	took := time.Since(begin).Seconds()
	var sorted []time.Duration
	for _, some := range latencies {
		sorted = append(sorted, some...)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	at := func(percent int) int64 { return sorted[(len(sorted)-1)*percent/100].Microseconds() }
	fmt.Println(len(sorted), took, at(50), at(99))
}

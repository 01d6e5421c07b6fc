// A group of etcd's Raft nodes that does what it is told, a line at a time: each command on standard
// input is answered by a line for each message that it caused, and a line "." at the end. Disks are
// quick and crashes lose nothing that was answered. Time passes only where a command says so.
//
//	group N              a new group of N nodes, 1 to N, in place of the old one
//	campaign I           node I asks for pre-votes
//	propose I TEXT       answered by "accepted" or "refused" before the messages
//	forget I             node I has not heard of its leader for an election timeout
//	beat I               node I, if it leads, sends a heartbeat
//	quorum I             node I, if it leads, steps down unless it heard from a majority lately
//	transfer I TO        node I, if it leads, hands over
//	stop I, start I      a crash; a start with what is on the disk
//	compact I            a snapshot of what is applied; the log before it goes
//	deliver H...         messages of the last answers, in this order
//	strip T H            an append loses its entries of term T
//	lost H...            messages that will never arrive
//	state I              "state" and: term, vote, leader, role, commit, applied commands, their
//	                     CRC32C, the log's base, then term:text for each entry behind it
//
// A message: "message H FROM TO TERM KIND", KIND being vote, vote_reply, append, append_reply or
// timeout_now.
package main

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io/ioutil"
	"log"
	"math"
	"os"
	"strconv"
	"strings"

	"go.etcd.io/etcd/raft"
	pb "go.etcd.io/etcd/raft/raftpb"
)

// What a node's disk holds. The commit index is volatile in the paper, and here.
type disk struct {
	*raft.MemoryStorage
	voters []uint64
}

func (d disk) InitialState() (pb.HardState, pb.ConfState, error) {
	hard, _, err := d.MemoryStorage.InitialState()
	first, _ := d.FirstIndex()
	hard.Commit = first - 1
	return hard, pb.ConfState{Voters: d.voters}, err
}

type node struct {
	id      uint64
	disk    disk
	raft    *raft.RawNode // nil: down
	applied []string
}

type group struct {
	nodes    []*node
	messages map[uint64]pb.Message
	handles  uint64
	out      *bufio.Writer
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func newGroup(count int, out *bufio.Writer) *group {
	g := &group{messages: map[uint64]pb.Message{}, out: out}
	var voters []uint64
	for id := 1; id <= count; id++ {
		voters = append(voters, uint64(id))
	}
	for _, id := range voters {
		n := &node{id: id, disk: disk{raft.NewMemoryStorage(), voters}}
		g.nodes = append(g.nodes, n)
		g.start(n)
	}
	return g
}

func (g *group) start(n *node) {
	if n.raft != nil {
		return
	}
	snapshot, err := n.disk.Snapshot()
	check(err)
	n.applied = commands(snapshot)
	n.raft, err = raft.NewRawNode(&raft.Config{
		ID:                        n.id,
		ElectionTick:              1 << 20, // never by itself
		HeartbeatTick:             1,
		Storage:                   n.disk,
		MaxSizePerMsg:             0, // an entry a message
		MaxCommittedSizePerReady:  math.MaxUint64,
		MaxInflightMsgs:           1000,
		CheckQuorum:               true,
		PreVote:                   true,
		DisableProposalForwarding: true,
		Logger:                    &raft.DefaultLogger{Logger: log.New(ioutil.Discard, "", 0)},
	})
	check(err)
	g.finish(n)
}

func commands(snapshot pb.Snapshot) []string {
	if len(snapshot.Data) == 0 {
		return nil
	}
	return strings.Split(string(snapshot.Data), ",")
}

// Writes, applies and sends all that is ready.
func (g *group) finish(n *node) {
	for n.raft != nil && n.raft.HasReady() {
		ready := n.raft.Ready()
		if !raft.IsEmptySnap(ready.Snapshot) {
			check(n.disk.ApplySnapshot(ready.Snapshot))
			n.applied = commands(ready.Snapshot)
		}
		check(n.disk.Append(ready.Entries))
		if !raft.IsEmptyHardState(ready.HardState) {
			check(n.disk.SetHardState(ready.HardState))
		}
		for _, entry := range ready.CommittedEntries {
			if len(entry.Data) > 0 {
				n.applied = append(n.applied, string(entry.Data))
			}
		}
		for _, message := range ready.Messages {
			g.handles++
			g.messages[g.handles] = message
			fmt.Fprintf(g.out, "message %d %d %d %d %s\n", g.handles, message.From, message.To,
				message.Term, kind(message.Type))
		}
		n.raft.Advance(ready)
	}
}

func kind(of pb.MessageType) string {
	switch of {
	case pb.MsgVote, pb.MsgPreVote:
		return "vote"
	case pb.MsgVoteResp, pb.MsgPreVoteResp:
		return "vote_reply"
	case pb.MsgApp, pb.MsgHeartbeat, pb.MsgSnap:
		return "append"
	case pb.MsgAppResp, pb.MsgHeartbeatResp:
		return "append_reply"
	case pb.MsgTimeoutNow:
		return "timeout_now"
	}
	panic("a message that no kind is known of: " + of.String())
}

func (g *group) deliver(handle uint64) {
	message := g.take(handle)
	if n := g.nodes[message.To-1]; n.raft != nil {
		_ = n.raft.Step(message)
		g.finish(n)
	}
	g.report(message, raft.SnapshotFinish)
}

// The sender of a snapshot is told what became of it, as etcd's transport does.
func (g *group) report(message pb.Message, status raft.SnapshotStatus) {
	if n := g.nodes[message.From-1]; message.Type == pb.MsgSnap && n.raft != nil {
		n.raft.ReportSnapshot(message.To, status)
		g.finish(n)
	}
}

func (g *group) take(handle uint64) pb.Message {
	message, known := g.messages[handle]
	if !known {
		panic(fmt.Sprintf("no message %d", handle))
	}
	delete(g.messages, handle)
	return message
}

// A leader may send fewer entries than it has.
func (g *group) strip(term, handle uint64) {
	message := g.messages[handle]
	for i, entry := range message.Entries {
		if entry.Term == term {
			message.Entries = message.Entries[:i]
			break
		}
	}
	g.messages[handle] = message
}

func (g *group) compact(n *node) {
	applied := n.raft.BasicStatus().Applied
	first, err := n.disk.FirstIndex()
	check(err)
	if applied < first {
		return
	}
	_, err = n.disk.CreateSnapshot(applied, &pb.ConfState{Voters: n.disk.voters},
		[]byte(strings.Join(n.applied, ",")))
	check(err)
	check(n.disk.Compact(applied))
}

func (g *group) state(n *node) {
	status := n.raft.BasicStatus()
	role := map[raft.StateType]string{raft.StateFollower: "follower",
		raft.StatePreCandidate: "pre_candidate", raft.StateCandidate: "candidate",
		raft.StateLeader: "leader"}[status.RaftState]
	first, err := n.disk.FirstIndex()
	check(err)
	last, err := n.disk.LastIndex()
	check(err)
	crc := crc32.Checksum([]byte(strings.Join(n.applied, ",")), crc32.MakeTable(crc32.Castagnoli))
	fmt.Fprintf(g.out, "state %d %d %d %s %d %d %d %d", status.Term, status.Vote, status.Lead, role,
		status.Commit, len(n.applied), crc, first-1)
	if last >= first {
		entries, err := n.disk.Entries(first, last+1, math.MaxUint64)
		check(err)
		for _, entry := range entries {
			fmt.Fprintf(g.out, " %d:%s", entry.Term, entry.Data)
		}
	}
	fmt.Fprintln(g.out)
}

func number(text string) uint64 {
	value, err := strconv.ParseUint(text, 10, 64)
	check(err)
	return value
}

func (g *group) obey(words []string) {
	switch words[0] {
	case "deliver", "lost":
		for _, handle := range words[1:] {
			if words[0] == "deliver" {
				g.deliver(number(handle))
			} else {
				g.report(g.take(number(handle)), raft.SnapshotFailure)
			}
		}
		return
	case "strip":
		g.strip(number(words[1]), number(words[2]))
		return
	}
	n := g.nodes[number(words[1])-1]
	if words[0] == "start" {
		g.start(n)
		return
	}
	if n.raft == nil {
		panic("a command to a node that is down: " + strings.Join(words, " "))
	}
	switch words[0] {
	case "campaign":
		_ = n.raft.Campaign()
	case "propose":
		if n.raft.Propose([]byte(words[2])) == nil {
			fmt.Fprintln(g.out, "accepted")
		} else {
			fmt.Fprintln(g.out, "refused")
		}
	case "forget":
		n.raft.Forget()
	case "beat":
		n.raft.Beat()
	case "quorum":
		n.raft.CheckQuorum()
	case "transfer":
		if n.raft.BasicStatus().RaftState == raft.StateLeader {
			n.raft.TransferLeader(number(words[2]))
		}
	case "stop":
		n.raft = nil
	case "compact":
		g.compact(n)
	case "state":
		g.state(n)
	default:
		panic("no command: " + words[0])
	}
	g.finish(n)
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	var g *group
	for in.Scan() {
		words := strings.Fields(in.Text())
		if words[0] == "group" {
			g = newGroup(int(number(words[1])), out)
		} else {
			g.obey(words)
		}
		fmt.Fprintln(out, ".")
		check(out.Flush())
	}
	check(in.Err())
}

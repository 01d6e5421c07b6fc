// Joins package raft of etcd by `go build -overlay`: what the oracle needs and no application does.

package raft

import pb "go.etcd.io/etcd/raft/raftpb"

// Forget makes a follower as old as the least election timeout: no leader holds its promise now.
func (rn *RawNode) Forget() {
	if rn.raft.state != StateLeader {
		rn.raft.electionElapsed = rn.raft.electionTimeout
	}
}

// Beat sends a heartbeat, if this node leads.
func (rn *RawNode) Beat() {
	if rn.raft.state == StateLeader {
		_ = rn.raft.Step(pb.Message{From: rn.raft.id, Type: pb.MsgBeat})
	}
}

// CheckQuorum asks a leader whether it heard from a majority since it was asked last.
func (rn *RawNode) CheckQuorum() {
	if rn.raft.state == StateLeader {
		_ = rn.raft.Step(pb.Message{From: rn.raft.id, Type: pb.MsgCheckQuorum})
	}
}

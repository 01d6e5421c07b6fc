/* The commit rule of the Raft core: N nodes elect, append, persist, answer, commit and crash.

   What makes the state space small: there is at most one leader a term (asserted), and its log only
   grows while it leads, so what it sent is a prefix of sent[term]. A message is therefore no state:
   any node may take any prefix of what any term's leader has sent, at any time, in any order, again
   and again; a message that is lost is one never taken. The answers are bits, one per node: votes[]
   for a candidate, acks[] per term and length; they count however late they arrive.

   Memory and disk are apart. A crash takes a node back to its disk. What a node answers, it answers
   after the persist step that covers it.

   Switches, each a design error when changed, which the checks must find:
     OWNTERM=0     a leader commits entries of earlier terms by counting (thesis, figure 3.7)
     ASKDISK=0     a candidate asks for votes before its term, its own vote and its log are on the disk
     VOTEDISK=0    a vote is answered before it is on the disk
     ACKDISK=0     an append is answered before it is on the disk
     OWNDISK=0     a leader counts its own entry before it is on its disk
     UPTODATE=0    a vote is given without comparing the logs (thesis 3.6.1)
     MATCH=0       an append is taken without comparing the entry before it (thesis 3.5)
     CLAMP=0       a follower commits up to the leader's commit index even where its own log goes
                   beyond the last entry that the message confirmed
     QUORUM=1      what counts as a majority */
#ifndef N
#define N 3
#endif
#ifndef TERMS
#define TERMS 4
#endif
#ifndef ENTRIES
#define ENTRIES 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef CANDIDATES
#define CANDIDATES 0 /* n: only node (term - 1) % n campaigns for a term, so that four terms fit */
#endif
#ifndef OWNTERM
#define OWNTERM 1
#endif
#ifndef ASKDISK
#define ASKDISK 1
#endif
#ifndef VOTEDISK
#define VOTEDISK 1
#endif
#ifndef ACKDISK
#define ACKDISK 1
#endif
#ifndef OWNDISK
#define OWNDISK 1
#endif
#ifndef UPTODATE
#define UPTODATE 1
#endif
#ifndef MATCH
#define MATCH 1
#endif
#ifndef CLAMP
#define CLAMP 1
#endif
#ifndef QUORUM
#define QUORUM (N / 2 + 1)
#endif
#define COUNT(x) (((x) & 1) + (((x) >> 1) & 1) + (((x) >> 2) & 1) + (((x) >> 3) & 1) + (((x) >> 4) & 1))

#define FOLLOWER 0
#define CANDIDATE 1
#define LEADER 2

typedef Log { byte entry[ENTRIES + 1]; byte length }; /* entry[1..length]: the term of each */

byte term[N], voted[N], role[N], commit[N];      /* in memory; voted: node + 1, or 0 */
byte term_disk[N], voted_disk[N];
Log mem[N], disk[N];
byte vote_due[N];                                /* node + 1 whose vote is answered by the next persist */
byte ack_due[N];                                 /* length that the next persist answers in term[] */

byte votes[N];                                   /* who voted for node i in its term */
byte leader_of[TERMS + 1];                       /* node + 1 */
Log sent[TERMS + 1];                             /* the log of a term's leader */
byte committed[TERMS + 1];                       /* the commit index that it tells */
byte acks[(TERMS + 1) * (ENTRIES + 1)];          /* who answered this length in this term */
byte chosen[ENTRIES + 1];                        /* what was ever committed at an index, by anyone */
byte chosen_in[ENTRIES + 1];                     /* the term in which it first was */
byte crashes = 0;
byte k, n, t, last;                              /* used within one d_step only */

#define ACKS(t, n) acks[(t) * (ENTRIES + 1) + (n)]
#define LAST(log) log.entry[log.length]
#define COPY(to, from) to.length = from.length; \
  for (k : 1 .. ENTRIES) { to.entry[k] = from.entry[k] }

/* State machine safety: an index is committed with one entry only. */
#define COMMIT(i, upto) \
  for (k : 1 .. ENTRIES) { \
    if \
    :: k <= (upto) && k > commit[i] -> \
      assert(chosen[k] == 0 || chosen[k] == mem[i].entry[k]); \
      chosen_in[k] = (chosen[k] == 0 -> term[i] : chosen_in[k]); \
      chosen[k] = mem[i].entry[k] \
    :: else -> skip \
    fi \
  } \
  commit[i] = (upto)

#define FOLLOW(i, newer) \
  if \
  :: (newer) > term[i] -> term[i] = (newer); voted[i] = 0; vote_due[i] = 0; ack_due[i] = 0; \
    role[i] = FOLLOWER; votes[i] = 0 \
  :: else -> skip \
  fi

/* An answer to every length that is covered: a longer log confirms its prefixes. */
#define ANSWER_APPEND(i) \
  for (k : 1 .. ENTRIES) { \
    if :: k <= ack_due[i] -> ACKS(term[i], k) = ACKS(term[i], k) | (1 << (i)) :: else -> skip fi \
  } \
  ack_due[i] = 0

#define ANSWER_VOTE(i) \
  if \
  :: vote_due[i] != 0 && term[vote_due[i] - 1] == term[i] && role[vote_due[i] - 1] == CANDIDATE -> \
    votes[vote_due[i] - 1] = votes[vote_due[i] - 1] | (1 << (i)) \
  :: else -> skip \
  fi; \
  vote_due[i] = 0

/* A leader may too: it has heard of a newer term, or from too few followers. */
inline campaign(i, newer) {
  d_step {
    newer > term[i] && (CANDIDATES == 0 || (newer - 1) % CANDIDATES == i) ->
    term[i] = newer; role[i] = CANDIDATE; voted[i] = i + 1; votes[i] = 0; vote_due[i] = i + 1; ack_due[i] = 0;
    if :: !VOTEDISK -> ANSWER_VOTE(i) :: else -> skip fi
  }
}

/* Node i takes the vote request of candidate c. */
inline vote(i, c) {
  d_step {
    c != i && role[c] == CANDIDATE && term[c] >= term[i] &&
      (!ASKDISK || voted_disk[c] == c + 1 && term_disk[c] == term[c]) &&
      (term[c] > term[i] || voted[i] == 0) &&
      (!UPTODATE || LAST(mem[c]) > LAST(mem[i]) ||
        (LAST(mem[c]) == LAST(mem[i]) && mem[c].length >= mem[i].length)) ->
    FOLLOW(i, term[c]);
    voted[i] = c + 1; vote_due[i] = c + 1;
    if :: !VOTEDISK -> ANSWER_VOTE(i) :: else -> skip fi
  }
}

/* A candidate with a quorum leads, and appends the entry of its term (thesis 6.4: no-op). */
inline lead(i) {
  d_step {
    role[i] == CANDIDATE && COUNT(votes[i]) >= QUORUM && mem[i].length < ENTRIES ->
    assert(leader_of[term[i]] == 0); /* election safety */
    for (k : 1 .. ENTRIES) {         /* leader completeness */
      assert(chosen[k] == 0 || chosen_in[k] >= term[i] || chosen[k] == mem[i].entry[k])
    }
    leader_of[term[i]] = i + 1; role[i] = LEADER;
    mem[i].length++; mem[i].entry[mem[i].length] = term[i];
    COPY(sent[term[i]], mem[i]);
    ack_due[i] = mem[i].length;
    if :: !OWNDISK -> ANSWER_APPEND(i) :: else -> skip fi
  }
}

/* Node i takes from the leader of term `from` the entries first..upto. */
inline append(i, from, first, upto) {
  d_step {
    leader_of[from] != 0 && leader_of[from] != i + 1 && from >= term[i] && upto <= sent[from].length &&
      (!MATCH || first == 1 ||
        (mem[i].length >= first - 1 && mem[i].entry[first - 1] == sent[from].entry[first - 1])) ->
    FOLLOW(i, from);
    if :: role[i] == CANDIDATE -> role[i] = FOLLOWER; votes[i] = 0 :: else -> skip fi;
    t = 0; /* does an entry conflict? */
    for (k : 1 .. ENTRIES) {
      if
      :: k >= first && k <= upto ->
        if
        :: k <= mem[i].length && mem[i].entry[k] != sent[from].entry[k] -> t = 1
        :: else -> skip
        fi;
        mem[i].entry[k] = sent[from].entry[k]
      :: else -> skip
      fi
    }
    if
    :: t == 1 || mem[i].length < upto -> mem[i].length = upto
    :: else -> skip
    fi;
    for (k : 1 .. ENTRIES) {
      if :: k > mem[i].length -> mem[i].entry[k] = 0 :: else -> skip fi
    }
    if :: upto > ack_due[i] -> ack_due[i] = upto :: else -> skip fi;
    last = (CLAMP -> upto : mem[i].length);
    n = (committed[from] < last -> committed[from] : last);
    if :: n > commit[i] -> COMMIT(i, n) :: else -> skip fi;
    if :: !ACKDISK -> ANSWER_APPEND(i) :: else -> skip fi;
    t = 0; n = 0; last = 0
  }
}

inline persist(i) {
  d_step {
    term_disk[i] != term[i] || voted_disk[i] != voted[i] || vote_due[i] != 0 || ack_due[i] != 0 ->
    term_disk[i] = term[i]; voted_disk[i] = voted[i];
    COPY(disk[i], mem[i]);
    ANSWER_VOTE(i);
    ANSWER_APPEND(i)
  }
}

inline advance(i, upto) {
  d_step {
    role[i] == LEADER && upto > commit[i] && upto <= mem[i].length &&
      COUNT(ACKS(term[i], upto)) >= QUORUM && (!OWNTERM || mem[i].entry[upto] == term[i]) ->
    COMMIT(i, upto);
    committed[term[i]] = upto
  }
}

inline crash(i) {
  d_step {
    crashes < CRASHES ->
    crashes++;
    term[i] = term_disk[i]; voted[i] = voted_disk[i]; role[i] = FOLLOWER; votes[i] = 0;
    vote_due[i] = 0; ack_due[i] = 0;
    COPY(mem[i], disk[i]);
    commit[i] = 0
  }
}

#if ENTRIES != 2
#error "the steps below are written out for two entries"
#endif
#define TERM(t) \
  :: campaign(me, t) \
  :: append(me, t, 1, 1) \
  :: append(me, t, 1, 2) \
  :: append(me, t, 2, 2)

active [N] proctype Node() {
  byte me = _pid;
end:
  do
  :: lead(me)
  :: persist(me)
  :: crash(me)
  :: vote(me, (me + 1) % N)
  :: vote(me, (me + 2) % N)
#if N > 3
  :: vote(me, (me + 3) % N)
  :: vote(me, (me + 4) % N)
#endif
  :: advance(me, 1)
  :: advance(me, 2)
  TERM(1)
  TERM(2)
#if TERMS > 2
  TERM(3)
#endif
#if TERMS > 3
  TERM(4)
#endif
  od
}

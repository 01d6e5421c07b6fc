/* The chain of a partition's segments, kept in a register that is changed by compare-and-swap on its
   version. A segment is one atomic object here: append, which fails once it is sealed, and seal, which
   may be repeated and tells the length; segment.pml shows that the quorum protocol is such an object.
   Two brokers fight for the partition.

   Switches, each a design error when changed, which the checks must find:
     CAS=0         the chain is written without looking at its version (R4)
     SEALFIRST=0   the next segment is opened before the last one is sealed (R23)
     CONFIRM=0     a deposed broker tells the latest offset from memory (R15) */
#ifndef CAS
#define CAS 1
#endif
#ifndef SEALFIRST
#define SEALFIRST 1
#endif
#ifndef CONFIRM
#define CONFIRM 1
#endif
#define SEGMENTS 4
#define RECORDS 3

byte segments = 1, version = 0;
byte base[SEGMENTS], length[SEGMENTS];
bit sealed[SEGMENTS];

byte total = 0;        /* appended, in all segments */
byte acknowledged = 0; /* the end of what any client was told */
bit rewound = 0, gap = 0, stale = 0;

active [2] proctype Broker() {
  byte v, count, at, mine, tail;
  bit leads = 0;
end:
  do
  :: d_step { !leads -> v = version; count = segments } /* takes over: reads the register */
    if
    :: SEALFIRST -> d_step { sealed[count - 1] = 1; at = base[count - 1] + length[count - 1] }
    :: else -> d_step { at = base[count - 1] + length[count - 1] }
    fi;
    d_step {
      if
      :: count < SEGMENTS && (!CAS || version == v) ->
        version++; mine = count; base[mine] = at;
        if :: mine < segments -> gap = 1 :: else -> segments = mine + 1 fi; /* overwrote a segment */
        if :: at != base[mine - 1] + length[mine - 1] -> gap = 1 :: else -> skip fi;
        sealed[mine] = 0; length[mine] = 0; leads = 1; tail = at
      :: else -> skip
      fi
    }
    if :: !SEALFIRST && leads -> d_step { sealed[mine - 1] = 1 } :: else -> skip fi
  :: d_step { leads && total < RECORDS && !sealed[mine] ->
      total++; length[mine]++; tail = base[mine] + length[mine];
      if :: tail <= acknowledged -> rewound = 1 :: else -> acknowledged = tail fi }
  :: d_step { leads && sealed[mine] -> leads = 0 } /* its append was refused */
  :: d_step { leads && (!CONFIRM || !sealed[mine]) -> /* tells the latest offset */
      if :: tail < acknowledged -> stale = 1 :: else -> skip fi }
  od
}

ltl never_rewinds { [] (!rewound) }
ltl no_gap { [] (!gap) }
ltl latest_is_fresh { [] (!stale) }
ltl acknowledged_is_kept { [] (acknowledged <= base[segments - 1] + length[segments - 1]) }

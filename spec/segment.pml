/* One replicated segment: its writer, a recoverer that seals it, and N replicas. A record counts as
   acknowledged when ACKS replicas hold it. Rules and invariants (R.., I..) as in docs/rules of the
   segment protocol: fence before reading, read-backs fence too, only an explicit "no" is a negative,
   write back before the end is decided.

   A message is a bit per replica: any order, any delay; lost is never taken. Records are numbers
   1..RECORDS without contents, since a segment has one writer for life.

   Switches, each a design error when changed, which the checks must find:
     READFENCE=0  a read-back does not fence (R13): its "no" may be followed by the missing copy
     FENCES=1     too few replicas are fenced, or too few negatives are asked for (R12, R17)
     LIMBO=0      a replica that lost its disk says "no" (R17, R19) */
#ifndef N
#define N 3
#endif
#ifndef ACKS
#define ACKS (N / 2 + 1)
#endif
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef READFENCE
#define READFENCE 1
#endif
#ifndef FENCES
#define FENCES (N - ACKS + 1) /* at least one replica of every acknowledging set */
#endif
#ifndef WIPES
#define WIPES 0 /* how many times a replica may lose its disk */
#endif
#ifndef LIMBO
#define LIMBO 1
#endif
#define ALL ((1 << N) - 1)
#define COUNT(x) (((x) & 1) + (((x) >> 1) & 1) + (((x) >> 2) & 1) + (((x) >> 3) & 1) + (((x) >> 4) & 1))

#define OPEN 0
#define SEALING 1
#define SEALED 2

/* The register in the metadata, changed by compare-and-swap. */
byte state = OPEN, sealed_end = 0;

/* The replicas, a bit each. */
byte fenced = 0, limbo = 0, wipes = 0;
byte holds[RECORDS + 1];

/* The writer's messages, and what it has sent and acknowledged to its client. */
byte add[RECORDS + 1], added[RECORDS + 1];
byte sent = 0, acknowledged = 0;

/* The recoverer's messages about record `at`. */
byte fence = 0, fence_done = 0, read = 0, yes = 0, no = 0, write = 0, written = 0;
byte at = 1;

active proctype Writer() {
end:
  do
  :: d_step { sent < RECORDS -> sent++; add[sent] = ALL }
  :: d_step { acknowledged < sent && COUNT(added[acknowledged + 1]) >= ACKS -> acknowledged++ }
  od
}

/* R14: the fence is looked at and the record added in one step. */
#define TAKE(n) \
  (add[n] & me) != 0 -> \
  add[n] = add[n] & ~me; \
  if \
  :: (fenced & me) == 0 -> holds[n] = holds[n] | me; added[n] = added[n] | me \
  :: else -> skip \
  fi

active [N] proctype Replica() {
  byte me = 1 << (_pid - 1);
end:
  do
  :: d_step { TAKE(1) }
#if RECORDS > 1
  :: d_step { TAKE(2) }
#endif
#if RECORDS > 2
  :: d_step { TAKE(3) }
#endif
  :: d_step { (fence & me) != 0 ->
      fence = fence & ~me; fenced = fenced | me; fence_done = fence_done | me }
  :: d_step { (read & me) != 0 ->
      read = read & ~me;
      fenced = (READFENCE -> fenced | me : fenced);
      yes = ((holds[at] & me) != 0 -> yes | me : yes);
      no = ((holds[at] & me) == 0 && (limbo & me) == 0 -> no | me : no) }
  :: d_step { (write & me) != 0 ->
      write = write & ~me; holds[at] = holds[at] | me; written = written | me }
  :: d_step { wipes < WIPES ->
      wipes++;
      holds[1] = holds[1] & ~me;
#if RECORDS > 1
      holds[2] = holds[2] & ~me;
#endif
#if RECORDS > 2
      holds[3] = holds[3] & ~me;
#endif
      if
      :: LIMBO -> limbo = limbo | me; fenced = fenced | me
      :: else -> fenced = fenced & ~me
      fi }
  od
}

active proctype Recoverer() {
  byte phase = 0;
end:
  atomic { state == OPEN -> state = SEALING; fence = ALL }
  d_step { COUNT(fence_done) >= FENCES -> read = ALL }
  do
  :: d_step { phase == 0 && yes != 0 -> phase = 1; write = ALL; read = 0 }
  :: d_step { phase == 0 && yes == 0 && COUNT(no) >= FENCES ->
      sealed_end = at - 1; state = SEALED; phase = 2; read = 0 }
  :: atomic { phase == 1 && COUNT(written) >= ACKS ->
      if
      :: at == RECORDS -> sealed_end = RECORDS; state = SEALED; phase = 2; write = 0
      :: else -> at++; phase = 0; yes = 0; no = 0; written = 0; write = 0; read = ALL
      fi }
  :: phase == 2 -> break
  od
}

ltl acknowledged_is_kept { [] (state == SEALED -> acknowledged <= sealed_end) } /* I1 */
ltl is_sealed { <> (state == SEALED) }

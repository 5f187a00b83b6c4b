/*
 * Publication and event suppression of a virtqueue on weakly ordered memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One side, the producer, publishes work and decides whether to notify; the
 * other, the consumer, takes it and sleeps when there is none. That is the
 * driver and the device for available buffers and the device and the driver
 * for used ones: the protocol is the same, so each fence stands for one in
 * the device's code and one in the driver's.
 *
 *   F_PUBLISH  release   before the index or the first flags
 *                        ring_split_publish(), ring_packed_publish()
 *   F_TAKE     acquire   after them
 *                        new_heads() of split.c, walk() of packed.c
 *   F_NOTIFY   full      between publishing and reading the other's wish
 *                        ring_split_should_notify(), ..packed..()
 *   F_LOOK     full      between writing the wish and the last look
 *                        vring_set_notification(); with STILL the one in
 *                        still_empty() of ring.c
 *   F_EVENT_W  release   packed: position before the flags that refer to it
 *                        ring_packed_set_notification()
 *   F_EVENT_R  acquire   packed: position after the flags
 *                        ring_packed_should_notify()
 *
 * -DNO_F_... leaves one out. -DSPLIT, -DPACKED: with EVENT_IDX; -DFLAGS:
 * without. -DSTILL: the wish moves with each buffer taken, as vring_fetch()
 * does with notifications on, instead of being withdrawn and renewed.
 *
 * Memory: a store goes to its thread's store buffer and from there to memory
 * in any order with others, except that stores to one place keep theirs and
 * none passes a release fence. A load finds the thread's own buffered store,
 * or what is in memory, or what the thread saw there before: loads are
 * reordered as by an invalidation queue, which an acquire fence empties. A
 * full fence does both and waits for the store buffer. Memory is one for all
 * (multi-copy atomic: x86, Armv8, RISC-V), and no store passes an earlier load.
 *
 * A lost notification leaves the consumer asleep for good: an invalid end
 * state. Work seen before it is there fails the assertion.
 */
#ifndef N
#define N       3       /* buffers */
#endif
#define LEN     7       /* of a store buffer */
#define MARK    99      /* a release fence in it */

#define IDX     0       /* split: published; packed: unused */
#define WISH    1       /* flags: 1 is "do not"; packed: see below */
#define EVENT   2       /* position */
#define DATA    3       /* of each buffer */
#define FLAG    (3 + N) /* packed: of each descriptor */
#define NV      (3 + 2 * N)

#define DISABLE 1
#define DESC    2

#define PRODUCER 0
#define CONSUMER 1

byte mem[NV];
byte view[2 * NV];
byte bvar[2 * LEN];
byte bval[2 * LEN];
byte blen[2];
bool notified;

/* What thread t sees from now on is not older than this */
inline sync(t) {
    k = 0;
    do
    :: k < NV -> view[t * NV + k] = mem[k]; k++
    :: else -> break
    od;
    k = 0
}

inline store(t, v, x) {
    atomic {
        blen[t] < LEN;
        bvar[t * LEN + blen[t]] = v;
        bval[t * LEN + blen[t]] = x;
        blen[t]++
    }
}

inline load(t, v, r) {
    atomic {
        k = blen[t];
        do
        :: k > 0 && bvar[t * LEN + k - 1] != v -> k--
        :: else -> break
        od;
        if
        :: k > 0 -> r = bval[t * LEN + k - 1]
        :: else ->
            if
            :: view[t * NV + v] = mem[v]
            :: view[t * NV + v] != mem[v]       /* the old one still */
            fi;
            r = view[t * NV + v]
        fi;
        k = 0
    }
}

inline release_fence(t) {
    atomic {
        if
        :: blen[t] > 0 -> store(t, MARK, 0)
        :: else
        fi
    }
}

inline acquire_fence(t) {
    d_step { sync(t) }
}

inline full_fence(t) {
    atomic { blen[t] == 0; sync(t) }
}

#ifdef NO_F_PUBLISH
#define F_PUBLISH(t)
#else
#define F_PUBLISH(t) release_fence(t);
#endif
#ifdef NO_F_TAKE
#define F_TAKE(t)
#else
#define F_TAKE(t) acquire_fence(t);
#endif
#ifdef NO_F_NOTIFY
#define F_NOTIFY(t)
#else
#define F_NOTIFY(t) full_fence(t);
#endif
#ifdef NO_F_LOOK
#define F_LOOK(t)
#else
#define F_LOOK(t) full_fence(t);
#endif
#ifdef NO_F_EVENT_W
#define F_EVENT_W(t)
#else
#define F_EVENT_W(t) release_fence(t);
#endif
#ifdef NO_F_EVENT_R
#define F_EVENT_R(t)
#else
#define F_EVENT_R(t) acquire_fence(t);
#endif

/* A thread's store buffer, emptied at any time, in any order it allows */
proctype buffer(byte t) {
    byte i, j, v;
end:
    do
    :: atomic {
        blen[t] > 0;
        i = 0;
        do
        :: i + 1 < blen[t] && bvar[t * LEN] != MARK &&
           bvar[t * LEN + i + 1] != MARK -> i++
        :: break
        od;
        v = bvar[t * LEN + i];
        j = 0;
        do
        :: j < i && bvar[t * LEN + j] != v -> j++
        :: else -> break
        od;
        i = j;                  /* the oldest to the same place */
        if
        :: v != MARK ->
            mem[v] = bval[t * LEN + i];
            view[t * NV + v] = mem[v]
        :: else
        fi;
        do
        :: i + 1 < blen[t] ->
            bvar[t * LEN + i] = bvar[t * LEN + i + 1];
            bval[t * LEN + i] = bval[t * LEN + i + 1];
            i++
        :: else -> break
        od;
        blen[t]--;
        bvar[t * LEN + blen[t]] = 0;
        bval[t * LEN + blen[t]] = 0;
        i = 0; j = 0; v = 0
    }
    od
}

/* One or two buffers at a time: a batch becomes visible by its first */
inline publish(count) {
#ifdef PACKED
    if
    :: count == 2 ->
        store(PRODUCER, DATA + made + 1, 1);
        store(PRODUCER, FLAG + made + 1, 1)
    :: else
    fi;
    store(PRODUCER, DATA + made, 1);
    F_PUBLISH(PRODUCER)
    store(PRODUCER, FLAG + made, 1);
    made = made + count
#else
    store(PRODUCER, DATA + made, 1);
    if
    :: count == 2 -> store(PRODUCER, DATA + made + 1, 1)
    :: else
    fi;
    F_PUBLISH(PRODUCER)
    made = made + count;
    store(PRODUCER, IDX, made)
#endif
}

proctype producer() {
    byte made, told, count, wish, event, k;

    do
    :: made == N -> break
    :: made < N ->
        if
        :: count = 1
        :: made + 2 <= N -> count = 2
        fi;
        publish(count);
        F_NOTIFY(PRODUCER)
#ifdef FLAGS
        load(PRODUCER, WISH, wish);
        if
        :: wish != DISABLE -> notified = true
        :: else
        fi;
#endif
#ifdef SPLIT
        load(PRODUCER, EVENT, event);
        if
        :: told <= event && event < made -> notified = true
        :: else
        fi;
#endif
#ifdef PACKED
        load(PRODUCER, WISH, wish);
        if
        :: wish == DISABLE
        :: wish == DESC ->
            F_EVENT_R(PRODUCER)
            load(PRODUCER, EVENT, event);
            if
            :: told <= event && event < made -> notified = true
            :: else
            fi
        :: else -> notified = true
        fi;
#endif
        told = made; wish = 0; event = 0; count = 0
    od
}

/* Is there something at place taken? */
inline look(there) {
#ifdef PACKED
    load(CONSUMER, FLAG + taken, there)
#else
    load(CONSUMER, IDX, there);
    there = (there > taken -> 1 : 0)
#endif
}

inline ask() {
#ifdef FLAGS
    store(CONSUMER, WISH, 0)
#endif
#ifdef SPLIT
    store(CONSUMER, EVENT, taken)
#endif
#ifdef PACKED
    store(CONSUMER, EVENT, taken);
    F_EVENT_W(CONSUMER)
    store(CONSUMER, WISH, DESC)
#endif
}

inline ask_not() {
#ifndef SPLIT
    store(CONSUMER, WISH, DISABLE)
#else
    skip        /* the event of the past stays */
#endif
}

proctype consumer() {
    byte taken, there, data, k;

#ifdef STILL
    ask();
#endif
    do
    :: taken == N -> break
    :: taken < N ->
#ifndef STILL
        ask_not();
#endif
        do
        :: taken < N ->
            look(there);
            if
            :: there ->
                F_TAKE(CONSUMER)
                load(CONSUMER, DATA + taken, data);
                assert(data == 1);
                data = 0;
                taken++;
#ifdef STILL
#ifndef FLAGS
                store(CONSUMER, EVENT, taken)
#endif
#endif
            :: else -> break
            fi
        :: else -> break
        od;
#ifndef STILL
        ask();
#endif
        F_LOOK(CONSUMER)
        if
        :: taken < N ->
            look(there);
            if
            :: !there -> atomic { notified; notified = false }
            :: else
            fi
        :: else
        fi
    od
}

init {
    atomic {
        run buffer(PRODUCER);
        run buffer(CONSUMER);
        run producer();
        run consumer()
    }
}

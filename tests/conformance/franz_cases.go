// franz-go against the address that is given. Each case prints one line: PASS or FAIL, its name, why.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const patience = 30 * time.Second

var address = os.Args[1]

// A name that no other case has.
func fresh(prefix string) string {
	bytes := make([]byte, 5)
	rand.Read(bytes)
	return fmt.Sprintf("franz-%s-%x", prefix, bytes)
}

// What a case has open, closed behind it; what goes wrong ends it.
type run struct {
	context.Context
	clients []*kgo.Client
}

type failure struct{ text string }

func fail(format string, words ...any) { panic(failure{fmt.Sprintf(format, words...)}) }

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func equal[T comparable](got, wanted T, what string) {
	if got != wanted {
		fail("%s: %v instead of %v", what, got, wanted)
	}
}

func (r *run) client(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address)}, options...)...)
	must(err)
	r.clients = append(r.clients, client)
	return client
}

func (r *run) admin() *kadm.Client { return kadm.NewClient(r.client()) }

func (r *run) topic(partitions int32, settings map[string]string) string {
	configs := map[string]*string{}
	for name, value := range settings {
		configs[name] = kadm.StringPtr(value)
	}
	name := fresh("topic")
	made, err := r.admin().CreateTopic(r, partitions, 1, configs, name)
	must(err)
	must(made.Err)
	return name
}

func (r *run) produce(client *kgo.Client, records ...*kgo.Record) {
	must(client.ProduceSync(r, records...).FirstErr())
}

// So many records to one partition, the last one returned.
func (r *run) fill(topic string, partition int32, count int, options ...kgo.Opt) *kgo.Record {
	client := r.client(append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	var records []*kgo.Record
	for i := range count {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition,
			Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "v%d", i)})
	}
	r.produce(client, records...)
	return records[count-1]
}

func (r *run) from(topic string, partition int32, offset kgo.Offset) *kgo.Client {
	return r.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: offset}}))
}

func (r *run) take(client *kgo.Client, count int) []*kgo.Record {
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollFetches(r)
		for _, one := range fetches.Errors() {
			fail("%s/%d: %v", one.Topic, one.Partition, one.Err)
		}
		records = append(records, fetches.Records()...)
	}
	equal(len(records), count, "records")
	return records
}

func (r *run) member(group, topic string, options ...kgo.Opt) *kgo.Client {
	return r.client(append(options, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
}

func (r *run) endOffset(topic string, partition int32) int64 {
	ends, err := r.admin().ListEndOffsets(r, topic)
	must(err)
	end, _ := ends.Lookup(topic, partition)
	must(end.Err)
	return end.Offset
}

// ---- Cases ----

func everyCodecInOrder(r *run) {
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		topic := r.topic(1, nil)
		r.fill(topic, 0, 2_000, kgo.ProducerBatchCompression(codec))
		for i, record := range r.take(r.from(topic, 0, kgo.NewOffset().AtStart()), 2_000) {
			equal(string(record.Value), fmt.Sprintf("v%d", i), name)
			equal(record.Offset, int64(i), name)
		}
	}
}

func recordsComeAsTheyWere(r *run) {
	topic := r.topic(1, nil)
	stamp := time.UnixMilli(1_700_000_000_123)
	r.produce(r.client(), &kgo.Record{Topic: topic, Key: []byte("k"), Timestamp: stamp,
		Headers: []kgo.RecordHeader{{Key: "one", Value: []byte("1")}, {Key: "none"}}})
	got := r.take(r.from(topic, 0, kgo.NewOffset().AtStart()), 1)[0]
	equal(string(got.Key), "k", "key")
	equal(got.Value == nil, true, "a tombstone")
	equal(got.Timestamp.UnixMilli(), stamp.UnixMilli(), "time")
	equal(len(got.Headers), 2, "headers")
	equal(string(got.Headers[0].Value), "1", "header")
	equal(got.LeaderEpoch >= 0, true, "a leader epoch")
}

func withoutIdempotenceAndWithEveryAcks(r *run) {
	topic := r.topic(1, nil)
	for _, acks := range []kgo.Acks{kgo.NoAck(), kgo.LeaderAck(), kgo.AllISRAcks()} {
		r.fill(topic, 0, 100, kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
	}
	r.take(r.from(topic, 0, kgo.NewOffset().AtStart()), 300)
}

func consumingBeginsAnywhere(r *run) {
	topic := r.topic(1, nil)
	r.fill(topic, 0, 100)
	equal(r.take(r.from(topic, 0, kgo.NewOffset().At(37)), 63)[0].Offset, 37, "inside a batch")
	equal(r.take(r.from(topic, 0, kgo.NewOffset().AtEnd().Relative(-5)), 5)[0].Offset, 95, "from the end")
}

func offsetsByTime(r *run) {
	topic := r.topic(1, nil)
	var records []*kgo.Record
	for i := range 10 {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte("x"),
			Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)*1_000)})
	}
	r.produce(r.client(), records...)
	for millis, wanted := range map[int64]int64{1_700_000_000_000: 0, 1_700_000_004_500: 5, 1_800_000_000_000: 10} {
		listed, err := r.admin().ListOffsetsAfterMilli(r, millis, topic)
		must(err)
		found, _ := listed.Lookup(topic, 0)
		equal(found.Offset, wanted, fmt.Sprint(millis))
	}
}

func groupGoesOnWhereItWas(r *run) {
	topic, group := r.topic(3, nil), fresh("group")
	for partition := range int32(3) {
		r.fill(topic, partition, 50)
	}
	first := r.member(group, topic)
	r.take(first, 150)
	must(first.CommitUncommittedOffsets(r))
	first.Close()
	r.fill(topic, 1, 7)
	for _, record := range r.take(r.member(group, topic), 7) {
		equal(record.Partition, 1, "partition")
	}
}

// Two of each kind of member share the partitions, and each partition is read once.
func membersShareAndHandOver(r *run) {
	for _, balancer := range []kgo.GroupBalancer{kgo.RangeBalancer(), kgo.RoundRobinBalancer(),
		kgo.CooperativeStickyBalancer()} {
		topic, group := r.topic(4, nil), fresh("group")
		counted := make(chan int, 2)
		ended, end := context.WithCancel(r)
		for range 2 {
			member := r.member(group, topic, kgo.Balancers(balancer))
			go func() {
				count := 0
				for ended.Err() == nil {
					fetches := member.PollFetches(ended)
					count += fetches.NumRecords()
					if err := member.CommitUncommittedOffsets(context.WithoutCancel(ended)); err != nil {
						count = -1_000_000
					}
				}
				counted <- count
			}()
		}
		admin := r.admin()
		for shared := false; !shared; {
			must(r.Err())
			described, err := admin.DescribeGroups(r, group)
			must(err)
			shared = described[group].State == "Stable" && len(described[group].Members) == 2
		}
		for partition := range int32(4) {
			r.fill(topic, partition, 25)
		}
		for sum := int64(0); sum < 100; {
			must(r.Err())
			committed, err := admin.FetchOffsets(r, group)
			must(err)
			sum = 0
			committed.Each(func(one kadm.OffsetResponse) { sum += max(one.At, 0) })
		}
		end()
		equal(<-counted+<-counted, 100, balancer.ProtocolName())
	}
}

func staticMemberComesBack(r *run) {
	topic, group := r.topic(2, nil), fresh("group")
	r.fill(topic, 0, 10)
	one := r.member(group, topic, kgo.InstanceID("one"))
	r.take(one, 10)
	must(one.CommitUncommittedOffsets(r))
	before, err := r.admin().DescribeGroups(r, group)
	must(err)
	one.Close() // a static member does not leave
	r.fill(topic, 1, 5)
	r.take(r.member(group, topic, kgo.InstanceID("one")), 5)
	after, err := r.admin().DescribeGroups(r, group)
	must(err)
	equal(len(before[group].Members), 1, "members")
	equal(len(after[group].Members), 1, "members")
	equal(*after[group].Members[0].InstanceID, "one", "instance")
}

func topicsByPattern(r *run) {
	prefix := fresh("pattern")
	admin := r.admin()
	for _, end := range []string{"a", "b"} {
		made, err := admin.CreateTopic(r, 1, 1, nil, prefix+end)
		must(err)
		must(made.Err)
		r.fill(prefix+end, 0, 3)
	}
	r.take(r.client(kgo.ConsumeRegex(), kgo.ConsumeTopics("^"+prefix+".*"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 6)
}

func topicsAreAdministered(r *run) {
	admin := r.admin()
	topic := r.topic(1, map[string]string{"retention.ms": "60000", "cleanup.policy": "compact,delete"})
	setting := func(name string) string {
		configs, err := admin.DescribeTopicConfigs(r, topic)
		must(err)
		for _, config := range configs[0].Configs {
			if config.Key == name {
				return config.MaybeValue()
			}
		}
		return "<none>"
	}
	equal(setting("retention.ms"), "60000", "retention.ms")
	equal(setting("cleanup.policy"), "compact,delete", "cleanup.policy")
	_, err := admin.AlterTopicConfigs(r, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("120000")},
		{Op: kadm.SubtractConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")}}, topic)
	must(err)
	equal(setting("retention.ms"), "120000", "retention.ms")
	equal(setting("cleanup.policy"), "delete", "cleanup.policy")
	more, err := admin.CreatePartitions(r, 2, topic)
	must(err)
	must(more[topic].Err)
	r.fill(topic, 2, 20)
	cut := kadm.Offsets{}
	cut.AddOffset(topic, 2, 15, -1)
	_, err = admin.DeleteRecords(r, cut)
	must(err)
	equal(r.take(r.from(topic, 2, kgo.NewOffset().AtStart()), 5)[0].Offset, 15, "log start")
	equal(r.endOffset(topic, 2), 20, "end")
	_, err = admin.DeleteTopics(r, topic)
	must(err)
	gone, err := r.admin().ListTopics(r, topic) // who asked before remembers
	must(err)
	equal(errors.Is(gone[topic].Err, kerr.UnknownTopicOrPartition), true, "a topic that is gone")
}

// Its name is used again at once: nothing of the one before is seen.
func topicMadeAnewIsEmpty(r *run) {
	topic := r.topic(1, nil)
	r.fill(topic, 0, 10)
	admin := r.admin()
	before, err := admin.ListTopics(r, topic)
	must(err)
	_, err = admin.DeleteTopics(r, topic)
	must(err)
	for made := false; !made; { // Kafka takes a moment to remove it
		must(r.Err())
		again, err := admin.CreateTopic(r, 1, 1, nil, topic)
		made = err == nil && again.Err == nil
	}
	equal(r.endOffset(topic, 0), 0, "end")
	after, err := r.admin().ListTopics(r, topic) // likewise
	must(err)
	equal(before[topic].ID == after[topic].ID, false, "the same id")
	equal(r.fill(topic, 0, 1).Offset, 0, "offset")
}

func groupsAreAdministered(r *run) {
	topic, group := r.topic(1, nil), fresh("group")
	r.fill(topic, 0, 10)
	admin := r.admin()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, 4, -1)
	must(admin.CommitAllOffsets(r, group, offsets))
	listed, err := admin.ListGroups(r)
	must(err)
	_, there := listed[group]
	equal(there, true, "listed")
	lag, err := admin.Lag(r, group)
	must(err)
	equal(lag[group].Lag.Total(), 6, "lag")
	member := r.member(group, topic)
	equal(r.take(member, 6)[0].Offset, 4, "the committed offset")
	refused, err := admin.DeleteGroups(r, group)
	must(err)
	equal(errors.Is(refused[group].Err, kerr.NonEmptyGroup), true, "a group that is in use is deleted")
	member.Close()
	deleted, err := admin.DeleteGroups(r, group)
	must(err)
	must(deleted[group].Err)
}

func brokersAreTold(r *run) {
	told, err := r.admin().BrokerMetadata(r)
	must(err)
	equal(len(told.Brokers) > 0, true, "brokers")
	equal(told.Controller >= 0, true, "a controller")
	equal(told.Cluster != "", true, "a cluster id")
}

func main() {
	failed := false
	for _, one := range []struct {
		name string
		body func(*run)
	}{
		{"every_codec_in_order", everyCodecInOrder},
		{"records_come_as_they_were", recordsComeAsTheyWere},
		{"without_idempotence_and_with_every_acks", withoutIdempotenceAndWithEveryAcks},
		{"consuming_begins_anywhere", consumingBeginsAnywhere},
		{"offsets_by_time", offsetsByTime},
		{"group_goes_on_where_it_was", groupGoesOnWhereItWas},
		{"members_share_and_hand_over", membersShareAndHandOver},
		{"static_member_comes_back", staticMemberComesBack},
		{"topics_by_pattern", topicsByPattern},
		{"topics_are_administered", topicsAreAdministered},
		{"topic_made_anew_is_empty", topicMadeAnewIsEmpty},
		{"groups_are_administered", groupsAreAdministered},
		{"brokers_are_told", brokersAreTold},
	} {
		if why := attempt(one.body); why != "" {
			failed = true
			fmt.Printf("FAIL franz-go.%s: %.300s\n", one.name, strings.Join(strings.Fields(why), " "))
		} else {
			fmt.Printf("PASS franz-go.%s\n", one.name)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// Why it failed; nothing: it passed.
func attempt(body func(*run)) (why string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r := &run{Context: ctx}
	defer func() {
		if failed := recover(); failed != nil {
			known, ours := failed.(failure)
			if !ours {
				panic(failed)
			}
			why = known.text
		}
		cancel()
		for _, client := range r.clients {
			client.Close()
		}
	}()
	body(r)
	return ""
}

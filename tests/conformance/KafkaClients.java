// Kafka's own Java client against an address. usage: java -cp JARS/* KafkaClients.java ADDRESS
// One line a case: PASS or FAIL, its name, and the reason.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.InvalidOffsetException;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class KafkaClients {
    static final long SECONDS = 30;
    static String address;

    interface Case {
        void run() throws Exception;
    }

    static String fresh(String prefix) {
        return prefix + "-" + UUID.randomUUID().toString().substring(0, 13);
    }

    static void check(boolean holds, Object what) {
        if (!holds) throw new AssertionError(String.valueOf(what));
    }

    static void equal(Object got, Object wanted) {
        check(got.equals(wanted), got + " instead of " + wanted);
    }

    static void fails(Class<? extends Exception> type, Case work) throws Exception {
        try {
            work.run();
        } catch (Exception error) {
            Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
            check(type.isInstance(cause), cause + " instead of " + type.getSimpleName());
            return;
        }
        throw new AssertionError("no " + type.getSimpleName());
    }

    static Map<String, Object> settings(Object... more) {
        Map<String, Object> all = new HashMap<>();
        all.put("bootstrap.servers", address);
        for (int i = 0; i < more.length; i += 2) all.put((String) more[i], more[i + 1]);
        return all;
    }

    static Admin admin() {
        return Admin.create(settings());
    }

    static KafkaProducer<String, String> producer(Object... more) {
        return new KafkaProducer<>(settings(more), new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String group, Object... more) {
        Map<String, Object> all = settings(more);
        if (group != null) all.put("group.id", group);
        all.putIfAbsent("auto.offset.reset", "earliest");
        all.put("enable.auto.commit", "false");
        all.put("session.timeout.ms", "6000");
        all.put("heartbeat.interval.ms", "500");
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    static String makeTopic(int partitions) throws Exception {
        String name = fresh("java");
        try (Admin admin = admin()) {
            admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1))).all().get();
        }
        return name;
    }

    static void produce(String topic, int count, int partitions, Object... more) throws Exception {
        try (KafkaProducer<String, String> producer = producer(more)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < count; ++i) {
                ProducerRecord<String, String> record =
                    new ProducerRecord<>(topic, i % partitions, "k" + i, "v" + i);
                record.headers().add("h", new byte[] {1, 2});
                sent.add(producer.send(record));
            }
            for (int i = 0; i < count; ++i) equal(sent.get(i).get().offset(), (long) (i / partitions));
        }
    }

    static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> from, int count) {
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        long end = System.nanoTime() + SECONDS * 1_000_000_000L;
        while (got.size() < count && System.nanoTime() < end)
            from.poll(Duration.ofMillis(200)).forEach(got::add);
        check(got.size() >= count, got.size() + " of " + count + " records");
        return got;
    }

    static void everyCodecInOrder() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = makeTopic(1);
            produce(topic, 2000, 1, "compression.type", codec, "linger.ms", 20);
            try (KafkaConsumer<String, String> from = consumer(null)) {
                from.assign(List.of(new TopicPartition(topic, 0)));
                List<ConsumerRecord<String, String>> got = take(from, 2000);
                for (int i = 0; i < 2000; ++i) {
                    equal(got.get(i).value(), "v" + i);
                    equal(got.get(i).offset(), (long) i);
                }
                equal(got.get(0).headers().lastHeader("h").value().length, 2);
            }
        }
    }

    static void producersOfEveryKind() throws Exception {
        for (String acks : List.of("0", "1", "all")) {
            String topic = makeTopic(1);
            try (KafkaProducer<String, String> producer =
                     producer("acks", acks, "enable.idempotence", acks.equals("all"))) {
                for (int i = 0; i < 500; ++i) producer.send(new ProducerRecord<>(topic, "v" + i));
            }
            try (KafkaConsumer<String, String> from = consumer(null)) {
                from.assign(List.of(new TopicPartition(topic, 0)));
                equal(take(from, 500).get(499).value(), "v499");
            }
        }
    }

    static void aRecordAboveTheLimitIsRefused() throws Exception {
        String topic = makeTopic(1);
        try (KafkaProducer<String, String> producer = producer("max.request.size", 10_000_000)) {
            String value = "x".repeat(2_000_000);
            fails(RecordTooLargeException.class,
                  () -> producer.send(new ProducerRecord<>(topic, value)).get());
        }
    }

    static void aGroupResumesWhereItCommitted() throws Exception {
        String topic = makeTopic(3), group = fresh("group");
        produce(topic, 90, 3);
        Set<String> seen = new HashSet<>();
        for (int turn = 0; turn < 3; ++turn) {
            try (KafkaConsumer<String, String> member = consumer(group, "max.poll.records", 30)) {
                member.subscribe(List.of(topic));
                Map<TopicPartition, OffsetAndMetadata> done = new HashMap<>();
                for (ConsumerRecord<String, String> one : take(member, 30)) {
                    seen.add(one.partition() + ":" + one.offset());
                    done.put(new TopicPartition(topic, one.partition()),
                             new OffsetAndMetadata(one.offset() + 1, Optional.empty(), "m" + turn));
                }
                member.commitSync(done);
                for (var entry : member.committed(done.keySet()).entrySet())
                    equal(entry.getValue().metadata(), "m" + turn);
            }
        }
        equal(seen.size(), 90);
    }

    static void share(Class<?> assignor, Object... more) throws Exception {
        String topic = makeTopic(4), group = fresh("group");
        List<KafkaConsumer<String, String>> members = new ArrayList<>();
        for (int i = 0; i < 2; ++i) {
            List<Object> all = new ArrayList<>(List.of(more));
            all.addAll(List.of("partition.assignment.strategy", assignor.getName()));
            members.add(consumer(group, all.toArray()));
            members.get(i).subscribe(List.of(topic));
        }
        long end = System.nanoTime() + SECONDS * 1_000_000_000L;
        List<Integer> sizes = new ArrayList<>();
        while (System.nanoTime() < end && !sizes.equals(List.of(2, 2))) {
            sizes.clear();
            for (KafkaConsumer<String, String> member : members) {
                member.poll(Duration.ofMillis(100));
                sizes.add(member.assignment().size());
            }
        }
        for (KafkaConsumer<String, String> member : members) member.close();
        equal(sizes, List.of(2, 2));
    }

    static void staticMembersKeepTheirPartitions() throws Exception {
        String topic = makeTopic(2), group = fresh("group");
        produce(topic, 2, 2);
        for (int turn = 0; turn < 2; ++turn) {
            try (KafkaConsumer<String, String> member = consumer(group, "group.instance.id", "one")) {
                member.subscribe(List.of(topic));
                take(member, 2);
                equal(member.assignment().size(), 2);
                equal(member.groupMetadata().groupInstanceId().get(), "one");
            }
        }
    }

    static void positionsByTimeAndSeek() throws Exception {
        String topic = makeTopic(1);
        TopicPartition part = new TopicPartition(topic, 0);
        long base = System.currentTimeMillis() - 100_000;
        try (KafkaProducer<String, String> producer = producer()) {
            for (int i = 0; i < 50; ++i)
                producer.send(new ProducerRecord<>(topic, 0, base + 100L * i, null, "v" + i));
        }
        try (KafkaConsumer<String, String> from = consumer(null); Admin admin = admin()) {
            from.assign(List.of(part));
            equal(from.beginningOffsets(List.of(part)).get(part), 0L);
            equal(from.endOffsets(List.of(part)).get(part), 50L);
            equal(from.offsetsForTimes(Map.of(part, base + 1950)).get(part).offset(), 20L);
            check(from.offsetsForTimes(Map.of(part, base + 1_000_000)).get(part) == null, "no null");
            from.seek(part, 45);
            equal(take(from, 5).get(0).offset(), 45L);
            Map<OffsetSpec, Long> wanted = new LinkedHashMap<>();
            wanted.put(OffsetSpec.earliest(), 0L);
            wanted.put(OffsetSpec.latest(), 50L);
            wanted.put(OffsetSpec.maxTimestamp(), 49L);
            wanted.put(OffsetSpec.earliestLocal(), 0L);
            wanted.put(OffsetSpec.forTimestamp(base + 100), 1L);
            for (var entry : wanted.entrySet())
                equal(admin.listOffsets(Map.of(part, entry.getKey())).partitionResult(part).get()
                          .offset(), entry.getValue());
            try (KafkaConsumer<String, String> strict =
                     consumer(null, "auto.offset.reset", "none")) {
                strict.assign(List.of(part));
                strict.seek(part, 1000);
                fails(InvalidOffsetException.class, () -> {
                    for (int i = 0; i < 50; ++i) strict.poll(Duration.ofMillis(100));
                });
            }
        }
    }

    static void readCommittedReadsEverything() throws Exception {
        String topic = makeTopic(1);
        produce(topic, 100, 1);
        try (KafkaConsumer<String, String> from =
                 consumer(null, "isolation.level", "read_committed")) {
            from.assign(List.of(new TopicPartition(topic, 0)));
            equal(take(from, 100).size(), 100);
            equal(from.currentLag(new TopicPartition(topic, 0)).getAsLong(), 0L);
        }
    }

    static void administrationOfTopics() throws Exception {
        String topic = makeTopic(2);
        try (Admin admin = admin()) {
            check(admin.listTopics().names().get().contains(topic), "not listed");
            var told = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            equal(told.partitions().size(), 2);
            var byId = admin.describeTopics(
                org.apache.kafka.common.TopicCollection.ofTopicIds(List.of(told.topicId())));
            equal(byId.allTopicIds().get().get(told.topicId()).name(), topic);
            equal(admin.describeCluster().nodes().get().size(), 1);
            check(admin.describeCluster().clusterId().get().length() == 22, "cluster id");
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get();
            equal(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic)
                      .partitions().size(), 3);
            fails(InvalidPartitionsException.class,
                  () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(1))).all().get());
            produce(topic, 10, 1);
            TopicPartition part = new TopicPartition(topic, 0);
            equal(admin.deleteRecords(Map.of(part, RecordsToDelete.beforeOffset(4)))
                      .lowWatermarks().get(part).get().lowWatermark(), 4L);
            fails(OffsetOutOfRangeException.class,
                  () -> admin.deleteRecords(Map.of(part, RecordsToDelete.beforeOffset(100))).all().get());
            check(!admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1).isEmpty(), "dirs");
            check(admin.listPartitionReassignments().reassignments().get().isEmpty(), "moves");
            admin.deleteTopics(List.of(topic)).all().get();
            fails(UnknownTopicOrPartitionException.class,
                  () -> admin.describeTopics(List.of(topic)).allTopicNames().get());
        }
    }

    static void refusals() throws Exception {
        String topic = makeTopic(1);
        try (Admin admin = admin()) {
            fails(TopicExistsException.class, () -> make(admin, new NewTopic(topic, 1, (short) 1)));
            fails(InvalidTopicException.class, () -> make(admin, new NewTopic("a b", 1, (short) 1)));
            fails(InvalidReplicationFactorException.class,
                  () -> make(admin, new NewTopic(fresh("x"), 1, (short) 3)));
            fails(InvalidPartitionsException.class,
                  () -> make(admin, new NewTopic(fresh("x"), 0, (short) 1)));
            fails(InvalidConfigurationException.class,
                  () -> make(admin, new NewTopic(fresh("x"), 1, (short) 1)
                                        .configs(Map.of("no.such", "1"))));
            fails(UnknownTopicOrPartitionException.class,
                  () -> admin.deleteTopics(List.of(fresh("absent"))).all().get());
            fails(GroupIdNotFoundException.class,
                  () -> admin.deleteConsumerGroups(List.of(fresh("absent"))).all().get());
        }
    }

    static void make(Admin admin, NewTopic topic) throws Exception {
        admin.createTopics(List.of(topic)).all().get();
    }

    static String valueOf(Admin admin, ConfigResource resource, String name) throws Exception {
        ConfigEntry entry =
            admin.describeConfigs(List.of(resource)).all().get().get(resource).get(name);
        check(entry != null, name + " is not told");
        return entry.value();
    }

    static void settingsAreToldAndChanged() throws Exception {
        String topic = makeTopic(1);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        try (Admin admin = admin()) {
            Collection<AlterConfigOp> steps = List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", "120000"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"),
                                  AlterConfigOp.OpType.APPEND));
            admin.incrementalAlterConfigs(Map.of(resource, steps)).all().get();
            equal(valueOf(admin, resource, "retention.ms"), "120000");
            Set<String> policies =
                new HashSet<>(Arrays.asList(valueOf(admin, resource, "cleanup.policy").split(",")));
            equal(policies, Set.of("compact", "delete"));
            ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
            equal(valueOf(admin, broker, "num.partitions"), "4");
        }
    }

    static void groupsAreDescribedAndDeleted() throws Exception {
        String topic = makeTopic(1), group = fresh("group");
        produce(topic, 10, 1);
        TopicPartition part = new TopicPartition(topic, 0);
        try (Admin admin = admin()) {
            try (KafkaConsumer<String, String> member = consumer(group)) {
                member.subscribe(List.of(topic));
                take(member, 10);
                member.commitSync();
                var told = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                equal(told.members().size(), 1);
                equal(told.groupState().toString(), "Stable");
                equal(told.members().iterator().next().assignment().topicPartitions(), Set.of(part));
                fails(GroupNotEmptyException.class,
                      () -> admin.deleteConsumerGroups(List.of(group)).all().get());
            }
            check(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group)),
                  "not listed");
            equal(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get()
                      .get(part).offset(), 10L);
            admin.alterConsumerGroupOffsets(group, Map.of(part, new OffsetAndMetadata(3))).all().get();
            equal(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get()
                      .get(part).offset(), 3L);
            admin.deleteConsumerGroupOffsets(group, Set.of(part)).all().get();
            admin.deleteConsumerGroups(List.of(group)).all().get();
        }
    }

    public static void main(String[] words) {
        address = words[0];
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("every_codec_in_order", KafkaClients::everyCodecInOrder);
        cases.put("producers_of_every_kind", KafkaClients::producersOfEveryKind);
        cases.put("a_record_above_the_limit", KafkaClients::aRecordAboveTheLimitIsRefused);
        cases.put("a_group_resumes", KafkaClients::aGroupResumesWhereItCommitted);
        cases.put("two_members_share_range", () -> share(RangeAssignor.class));
        cases.put("two_members_share_cooperative", () -> share(CooperativeStickyAssignor.class));
        cases.put("static_members", KafkaClients::staticMembersKeepTheirPartitions);
        cases.put("positions_by_time_and_seek", KafkaClients::positionsByTimeAndSeek);
        cases.put("read_committed", KafkaClients::readCommittedReadsEverything);
        cases.put("administration_of_topics", KafkaClients::administrationOfTopics);
        cases.put("refusals", KafkaClients::refusals);
        cases.put("settings", KafkaClients::settingsAreToldAndChanged);
        cases.put("groups", KafkaClients::groupsAreDescribedAndDeleted);
        boolean failed = false;
        for (var entry : cases.entrySet()) {
            try {
                entry.getValue().run();
                System.out.println("PASS java." + entry.getKey());
            } catch (Throwable error) {
                failed = true;
                error.printStackTrace();
                System.out.println("FAIL java." + entry.getKey() + ": "
                                   + String.valueOf(error).replaceAll("\\s+", " "));
            }
        }
        System.exit(failed ? 1 : 0);
    }
}

// @platformatic/kafka against an address. usage: node platformatic_cases.mjs NODE_MODULES ADDRESS
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import path from 'node:path';

const { Admin, Consumer, Producer, stringDeserializers, stringSerializers } =
  await import(path.resolve(process.argv[2], '@platformatic/kafka/dist/index.js'));

const common = { clientId: 'conformance', bootstrapBrokers: [process.argv[3]], retries: 3 };
const SECONDS = 30;
const fresh = (prefix) => `${prefix}-${crypto.randomUUID().slice(0, 13)}`;

async function using(client, work) {
  try {
    return await work(client);
  } finally {
    await (client instanceof Admin ? client.close() : client.close(true));
  }
}

const withAdmin = (work) => using(new Admin(common), work);

async function makeTopic(partitions = 1) {
  const topic = fresh('platformatic');
  await withAdmin((admin) => admin.createTopics({ topics: [topic], partitions, replicas: 1 }));
  return topic;
}

const produce = (topic, messages, options = {}) =>
  using(new Producer({ ...common, serializers: stringSerializers, ...options }), (producer) =>
    producer.send({ messages: messages.map((one) => ({ topic, ...one })) }));

async function consume(groupId, topic, count, options = {}) {
  const consumer = new Consumer({ ...common, groupId, deserializers: stringDeserializers,
                                  sessionTimeout: 6000, heartbeatInterval: 500, maxWaitTime: 200,
                                  ...options });
  return using(consumer, async () => {
    const stream = await consumer.consume({ topics: [topic], mode: 'committed',
                                            fallbackMode: 'earliest', autocommit: false });
    const timer = setTimeout(() => stream.destroy(new Error('too late')), SECONDS * 1000);
    const got = [];
    for await (const message of stream) {
      got.push(message);
      await message.commit();
      if (got.length === count) break;
    }
    clearTimeout(timer);
    return got;
  });
}

const cases = {
  async what_goes_in_comes_out() {
    for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
      const topic = await makeTopic();
      const messages = [...Array(300).keys()].map(
        (i) => ({ key: `k${i}`, value: `${compression} ${i}`, headers: { h: 'x' } }));
      const { offsets } = await produce(topic, messages, { compression });
      assert.equal(offsets[0].offset, 0n);
      const got = await consume(fresh('group'), topic, 300);
      assert.deepEqual(got.map((one) => one.value), messages.map((one) => one.value));
      assert.equal(got[0].headers.get('h'), 'x');
    }
  },

  async idempotent_producer() {
    const topic = await makeTopic();
    await using(new Producer({ ...common, serializers: stringSerializers, idempotent: true }),
      async (producer) => {
        for (let i = 0; i < 20; ++i)
          await producer.send({ messages: [{ topic, value: `${i}` }] });
      });
    const got = await consume(fresh('group'), topic, 20);
    assert.deepEqual(got.map((one) => one.value), [...Array(20).keys()].map(String));
  },

  async a_group_resumes_where_it_committed() {
    const [topic, group] = [await makeTopic(3), fresh('group')];
    await produce(topic, [...Array(30).keys()].map((i) => ({ value: `${i}`, partition: i % 3 })));
    const seen = new Set();
    for (let turn = 0; turn < 3; ++turn)
      for (const one of await consume(group, topic, 10)) seen.add(`${one.partition}:${one.offset}`);
    assert.equal(seen.size, 30);
  },

  async administration() {
    const topic = await makeTopic();
    await withAdmin(async (admin) => {
      assert.ok((await admin.listTopics()).includes(topic));
      await admin.createPartitions({ topics: [
        { name: topic, count: 3, assignments: [{ brokerIds: [1] }, { brokerIds: [1] }] }] });
      const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true });
      assert.equal(topics.get(topic).partitionsCount, 3);
      await produce(topic, [...Array(10)].map(() => ({ value: 'x', partition: 0 })));
      const [{ partitions }] = await admin.listOffsets(
        { topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp: -1n }] }] });
      assert.equal(partitions[0].offset, 10n);
      const [deleted] = await admin.deleteRecords(
        { topics: [{ name: topic, partitions: [{ partition: 0, offset: 4n }] }] });
      assert.equal(deleted.partitions[0].lowWatermark, 4n);
      await admin.incrementalAlterConfigs({ resources: [{
        resourceType: 2, resourceName: topic,
        configs: [{ name: 'retention.ms', configOperation: 0, value: '120000' }] }] });
      const [told] = await admin.describeConfigs(
        { resources: [{ resourceType: 2, resourceName: topic }] });
      assert.equal(told.configs.find((one) => one.name === 'retention.ms').value, '120000');
      const dirs = await admin.describeLogDirs({ topics: [{ name: topic, partitions: [0, 1, 2] }] });
      assert.equal(dirs.length, 1);
      await admin.deleteTopics({ topics: [topic] });
      assert.ok(!(await admin.listTopics()).includes(topic));
    });
  },

  async groups_are_described_and_deleted() {
    const [topic, group] = [await makeTopic(), fresh('group')];
    await produce(topic, [...Array(5)].map(() => ({ value: 'x' })));
    await consume(group, topic, 5);
    await withAdmin(async (admin) => {
      assert.ok((await admin.listGroups()).has(group));
      const told = await admin.describeGroups({ groups: [group] });
      assert.match(told.get(group).state, /empty/i);
      const [offsets] = await admin.listConsumerGroupOffsets({ groups: [group] });
      assert.equal(offsets.topics[0].partitions[0].committedOffset, 5n);
      await admin.alterConsumerGroupOffsets({ groupId: group, topics: [
        { name: topic, partitionOffsets: [{ partition: 0, offset: 2n }] }] });
      await admin.deleteConsumerGroupOffsets(
        { groupId: group, topics: [{ name: topic, partitionIndexes: [0] }] });
      await admin.deleteGroups({ groups: [group] });
      assert.ok(!(await admin.listGroups()).has(group));
    });
  },
};

let failed = false;
for (const [name, work] of Object.entries(cases)) {
  try {
    await work();
    console.log(`PASS platformatic.${name}`);
  } catch (error) {
    failed = true;
    console.error(error);
    const text = [error, ...(error.errors ?? [])].map((one) => one.message).join(' / ');
    console.log(`FAIL platformatic.${name}: ${text.replace(/\s+/g, ' ')}`);
  }
}
process.exit(failed ? 1 : 0);

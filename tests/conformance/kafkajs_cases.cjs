// kafkajs against an address. usage: node kafkajs_cases.cjs NODE_MODULES ADDRESS
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const path = require('node:path');
const { Kafka, logLevel, CompressionTypes, ConfigResourceTypes } =
  require(path.resolve(process.argv[2], 'kafkajs'));

const kafka = new Kafka({ brokers: [process.argv[3]], logLevel: logLevel.NOTHING,
                          retry: { retries: 5 } });
const SECONDS = 30;
const fresh = (prefix) => `${prefix}-${crypto.randomUUID().slice(0, 13)}`;

async function withClient(client, work) {
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.disconnect();
  }
}

const withAdmin = (work) => withClient(kafka.admin(), work);

async function makeTopic(partitions = 1, configEntries = []) {
  const topic = fresh('kafkajs');
  await withAdmin((admin) => admin.createTopics(
    { topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }],
      waitForLeaders: true }));
  return topic;
}

async function produce(topic, messages, { settings = {}, ...rest } = {}) {
  return withClient(kafka.producer(settings),
                    (producer) => producer.send({ topic, messages, ...rest }));
}

// The first `count` messages that a member of the group gets; their offsets are committed.
async function consume(groupId, topic, count) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, rebalanceTimeout: 6000,
                                    heartbeatInterval: 500 });
  return withClient(consumer, async () => {
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    const got = [];
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${got.length} of ${count} messages`)),
                               SECONDS * 1000);
      consumer.run({
        autoCommit: false,
        eachMessage: async ({ partition, message }) => {
          if (got.length >= count) return;
          got.push({ partition, ...message });
          await consumer.commitOffsets(
            [{ topic, partition, offset: String(Number(message.offset) + 1) }]);
          if (got.length === count) {
            clearTimeout(timer);
            resolve();
          }
        },
      }).catch(reject);
    });
    return got;
  });
}

async function failsWith(type, promise) {
  try {
    await promise;
  } catch (error) {
    assert.ok(JSON.stringify([error.type, error.errors, error.message]).includes(type),
              `${error.type} ${error.message} instead of ${type}`);
    return;
  }
  assert.fail(`no ${type}`);
}

const cases = {
  async what_goes_in_comes_out() {
    for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
      const topic = await makeTopic();
      const messages = [...Array(500).keys()].map(
        (i) => ({ key: `k${i}`, value: `v${i}`, headers: { h: 'x' } }));
      const [told] = await produce(topic, messages, { compression });
      assert.equal(told.baseOffset, '0');
      const got = await consume(fresh('group'), topic, 500);
      assert.deepEqual(got.map((one) => one.value.toString()), messages.map((m) => m.value));
      assert.equal(got[0].headers.h.toString(), 'x');
    }
  },

  async idempotent_producer() {
    const topic = await makeTopic(2);
    const settings = { idempotent: true, maxInFlightRequests: 1 };
    await withClient(kafka.producer(settings), async (producer) => {
      for (let i = 0; i < 50; ++i)
        await producer.send({ topic, messages: [{ value: `${i}`, partition: i % 2 }] });
    });
    const offsets = await withAdmin((admin) => admin.fetchTopicOffsets(topic));
    assert.deepEqual(offsets.map((one) => one.high), ['25', '25']);
  },

  async null_and_empty() {
    const topic = await makeTopic();
    await produce(topic, [{ key: 'k', value: null }, { key: null, value: '' }]);
    const got = await consume(fresh('group'), topic, 2);
    assert.equal(got[0].value, null);
    assert.equal(got[1].value.length, 0);
    assert.equal(got[1].key, null);
  },

  async a_group_resumes_where_it_committed() {
    const [topic, group] = [await makeTopic(3), fresh('group')];
    await produce(topic, [...Array(90).keys()].map((i) => ({ value: `${i}`, partition: i % 3 })));
    const seen = new Set();
    for (let turn = 0; turn < 3; ++turn)
      for (const one of await consume(group, topic, 30)) seen.add(`${one.partition}:${one.offset}`);
    assert.equal(seen.size, 90);
  },

  async two_members_share() {
    const [topic, groupId] = [await makeTopic(4), fresh('group')];
    const members = [0, 1].map(() => kafka.consumer(
      { groupId, sessionTimeout: 6000, rebalanceTimeout: 6000, heartbeatInterval: 300 }));
    const owned = [[], []];
    try {
      await new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error(`shared as ${JSON.stringify(owned)}`)),
                   SECONDS * 1000).unref();
        members.forEach((member, place) => {
          member.on(member.events.GROUP_JOIN, ({ payload }) => {
            owned[place] = payload.memberAssignment[topic] ?? [];
            if (owned[0].length === 2 && owned[1].length === 2) resolve();
          });
          member.connect()
            .then(() => member.subscribe({ topics: [topic] }))
            .then(() => member.run({ eachMessage: async () => {} }))
            .catch(reject);
        });
      });
    } finally {
      await Promise.all(members.map((member) => member.disconnect()));
    }
    assert.deepEqual([...owned[0], ...owned[1]].sort(), [0, 1, 2, 3]);
  },

  async administration() {
    const topic = await makeTopic(1, [{ name: 'retention.ms', value: '60000' }]);
    await withAdmin(async (admin) => {
      assert.ok((await admin.listTopics()).includes(topic));
      const { brokers, controller, clusterId } = await admin.describeCluster();
      assert.equal(brokers.length, 1);
      assert.equal(controller, brokers[0].nodeId);
      assert.ok(clusterId);
      await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      assert.equal(topics[0].partitions.length, 3);
      const { resources } = await admin.describeConfigs(
        { resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] });
      const told = resources[0].configEntries.find((one) => one.configName === 'retention.ms');
      assert.equal(told.configValue, '60000');
      await admin.alterConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic,
                                               configEntries: [{ name: 'retention.ms',
                                                                 value: '120000' }] }] });
      await produce(topic, [...Array(10)].map(() => ({ value: 'x', partition: 0 })));
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] });
      const offsets = await admin.fetchTopicOffsets(topic);
      assert.equal(offsets.find((one) => one.partition === 0).low, '4');
      const byTime = await admin.fetchTopicOffsetsByTimestamp(topic, Date.now() + 3600000);
      assert.equal(byTime.find((one) => one.partition === 0).offset, '10');
      await admin.deleteTopics({ topics: [topic] });
    });
  },

  async groups_are_described_reset_and_deleted() {
    const [topic, groupId] = [await makeTopic(), fresh('group')];
    await produce(topic, [...Array(10)].map(() => ({ value: 'x' })));
    await consume(groupId, topic, 10);
    await withAdmin(async (admin) => {
      const { groups } = await admin.listGroups();
      assert.ok(groups.some((one) => one.groupId === groupId));
      const told = await admin.describeGroups([groupId]);
      assert.equal(told.groups[0].state, 'Empty');
      await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '3' }] });
      const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [topic] });
      assert.equal(partitions[0].offset, '3');
      await admin.deleteGroups([groupId]);
      const after = await admin.listGroups();
      assert.ok(!after.groups.some((one) => one.groupId === groupId));
    });
  },

  async what_is_wrong_is_refused_by_name() {
    const topic = await makeTopic();
    await withAdmin(async (admin) => {
      assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }), false);
      await failsWith('INVALID_REPLICATION_FACTOR', admin.createTopics(
        { topics: [{ topic: fresh('x'), numPartitions: 1, replicationFactor: 3 }] }));
      await failsWith('does not host this topic',
                      admin.deleteTopics({ topics: [fresh('absent')], timeout: 1000 }));
    });
    await failsWith('MESSAGE_TOO_LARGE',
                    produce(topic, [{ value: Buffer.alloc(2000000) }]));
  },
};

(async () => {
  let failed = false;
  for (const [name, work] of Object.entries(cases)) {
    try {
      await work();
      console.log(`PASS kafkajs.${name}`);
    } catch (error) {
      failed = true;
      console.error(error);
      console.log(`FAIL kafkajs.${name}: ${String(error.message).replace(/\s+/g, ' ')}`);
    }
  }
  process.exit(failed ? 1 : 0);
})();

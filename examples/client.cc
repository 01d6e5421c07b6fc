// client.cc: a C++ client of a running server: produce, then read back.
//   client [HOST:PORT]
#include <walrus/client.h>

#include <iostream>

namespace {

int failed(const walrus::Error& error) {
  std::cerr << "client: " << error.message << "\n";
  return 1;
}

}  // namespace

int main(int count, char** arguments) {
  walrus::ClientOptions server;
  if (count > 1) server.address = arguments[1];
  auto client = walrus::Client::connect(server);
  if (!client) return failed(client.error());
  if (auto made = client->register_topic("letters"); !made) return failed(made.error());

  // Batches, keeps some in flight, and survives a server that is killed and started again.
  auto producer = walrus::Producer::connect({.server = server, .topic = "letters"});
  if (!producer) return failed(producer.error());
  walrus::Record letters[] = {{.key = "to", .value = "a walrus"}, {.value = "with regards"}};
  if (auto sent = producer->send(letters); !sent) return failed(sent.error());
  auto produced = producer->flush();
  if (!produced) return failed(produced.error());

  auto records = client->read("letters", produced->first.value_or(walrus::Offset{}));
  if (!records) return failed(records.error());
  for (const auto& record : *records) std::cout << record.value.value_or("") << "\n";
}

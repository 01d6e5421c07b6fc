#include "frontend/kafka/errors.h"

namespace walrus::frontend::kafka {

ErrorCode partition_error(const Error& error) {
  switch (error.code) {
    case Code::kNotFound: return ErrorCode::kUnknownTopicOrPartition;
    case Code::kOutOfRange: return ErrorCode::kOffsetOutOfRange;
    case Code::kExists: return ErrorCode::kTopicAlreadyExists;
    case Code::kInvalid: return ErrorCode::kInvalidRequest;
    case Code::kTimeout:
    case Code::kBusy: return ErrorCode::kRequestTimedOut;
    // Retriable: what ails the storage may pass, and a client keeps its records until then.
    default: return ErrorCode::kKafkaStorageError;
  }
}

ErrorCode produce_error(const Error& error) {
  switch (error.code) {
    case Code::kCorrupt: return ErrorCode::kCorruptMessage;
    case Code::kInvalid: return ErrorCode::kInvalidRecord;
    case Code::kTooLarge: return ErrorCode::kMessageTooLarge;
    case Code::kMismatch: return ErrorCode::kOutOfOrderSequenceNumber;
    case Code::kFenced: return ErrorCode::kInvalidProducerEpoch;
    case Code::kVersion: return ErrorCode::kUnsupportedCompressionType;
    case Code::kOutOfRange: return ErrorCode::kInvalidTimestamp;
    default: return partition_error(error);
  }
}

}  // namespace walrus::frontend::kafka

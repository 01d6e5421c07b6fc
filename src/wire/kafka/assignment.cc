#include "wire/kafka/assignment.h"

#include "wire/kafka/operations.h"

namespace walrus::wire::kafka {

Result<ConsumerAssignment> decode_assignment(Bytes bytes) {
  ConsumerAssignment assignment;
  Input input(bytes);
  decode_fields(input, FieldTable<ConsumerAssignment>::fields, &assignment, Context{});
  if (!input.ok() || assignment.version < 0)
    return fail(Code::kCorrupt, "not the assignment of a consumer");
  return assignment;
}

}  // namespace walrus::wire::kafka

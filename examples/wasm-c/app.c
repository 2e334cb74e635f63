// Greets whoever a request names: GET /Ada.

#include <stdio.h>
#include <string.h>

#include "http.h"

// What of a path is taken for a name; letters, digits and hyphens, so that nothing of it needs escaping in JSON.
static size_t name_of(const http_string_t *target, char *name, size_t room) {
    size_t length = 0;
    for (size_t at = 1; at < target->len && length + 1 < room; at++) {
        char c = (char)target->ptr[at];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'))
            break;
        name[length++] = c;
    }
    name[length] = 0;
    return length;
}

void exports_wasi_http_incoming_handler_handle(wasi_http_types_own_incoming_request_t request,
                                               wasi_http_types_own_response_outparam_t out) {
    char name[64] = "World";
    http_string_t target;
    if (wasi_http_types_method_incoming_request_path_with_query(wasi_http_types_borrow_incoming_request(request), &target)) {
        char given[sizeof name];
        if (name_of(&target, given, sizeof given) > 0)
            strcpy(name, given);
        http_string_free(&target);
    }
    wasi_http_types_incoming_request_drop_own(request);
    fprintf(stderr, "greeting %s\n", name);

    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    http_string_t header;
    http_string_set(&header, "content-type");
    wasi_http_types_field_value_t type = {(uint8_t *)"application/json", 16};
    wasi_http_types_header_error_t refused;
    wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &header, &type, &refused);

    wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(headers);
    wasi_http_types_own_outgoing_body_t body;
    wasi_http_types_method_outgoing_response_body(wasi_http_types_borrow_outgoing_response(response), &body);
    wasi_http_types_result_own_outgoing_response_error_code_t answer = {.is_err = false, .val.ok = response};
    wasi_http_types_static_response_outparam_set(out, &answer);

    char text[128];
    int length = snprintf(text, sizeof text, "{\"message\": \"Hello, %s!\", \"from\": \"C\"}", name);
    wasi_http_types_own_output_stream_t stream;
    if (wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream)) {
        http_list_u8_t bytes = {(uint8_t *)text, (size_t)length};
        wasi_io_streams_stream_error_t closed;
        wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &bytes, &closed);
        wasi_io_streams_output_stream_drop_own(stream);
    }
    wasi_http_types_error_code_t failed;
    wasi_http_types_static_outgoing_body_finish(body, NULL, &failed);
}

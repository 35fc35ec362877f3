/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/dns_message.h"

#include <stdio.h>
#include <strings.h>

#include "daemon/net/dns_wire.h"

enum { CLASS_IN = 1, TYPE_NS = 2, TYPE_SOA = 6, TYPE_OPT = 41 };
enum { RCODE_NOERROR = 0, RCODE_NXDOMAIN = 3 };
/* RFC 8767 4: a TTL above this, or one with its top bit set, is this. */
enum { TTL_MAX_SEC = 604800 };

enum section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL, SECTIONS };

/* One record; everything is an offset into the message, already checked to lie inside. */
struct record {
    enum section section;
    size_t owner, rdata;
    uint16_t type, rdlength;
    uint32_t ttl;
};

struct parse {
    struct dns_cursor cursor;
    const char *name;
    enum dns_type type;
    struct record *records;
    size_t count;
    bool authoritative;
    unsigned rcode;
    uint32_t ttl;                 /* minimum so far */
    struct dns_wire_name current; /* where the chain of aliases has led */
    struct dns_message *message;
};

/* ---- records ---- */

static uint32_t ttl_sane(uint32_t ttl)
{
    return ttl > TTL_MAX_SEC ? TTL_MAX_SEC : ttl;
}

static void ttl_lower(struct parse *parse, uint32_t ttl)
{
    if (ttl < parse->ttl)
        parse->ttl = ttl;
}

static void fail(struct parse *parse, const char *text)
{
    dns_message_done(parse->message);
    dns_message_fail(parse->message, parse->name, text);
}

static bool record_owned_by(const struct parse *parse, const struct record *record,
                            const struct dns_wire_name *owner)
{
    struct dns_cursor cursor = parse->cursor;
    struct dns_wire_name name;

    cursor.at = record->owner;
    return dns_take_name(&cursor, &name) && dns_wire_name_equal(&name, owner);
}

/* The name that is all of the record's data from `skipped` bytes on. */
static bool record_name(const struct parse *parse, const struct record *record, size_t skipped,
                        struct dns_wire_name *ret_name)
{
    struct dns_cursor cursor = parse->cursor;

    if (record->rdlength <= skipped)
        return false;
    cursor.at = record->rdata + skipped;
    return dns_take_name(&cursor, ret_name) && cursor.at == record->rdata + record->rdlength;
}

static bool record_address(const struct parse *parse, const struct record *record,
                           struct address *ret_address)
{
    size_t size = record->type == DNS_A ? 4 : 16;

    if (record->rdlength != size)
        return false;
    *ret_address = (struct address){.family = record->type == DNS_A ? AF_INET : AF_INET6};
    memcpy(ret_address->bytes, parse->cursor.data + record->rdata, size);
    return true;
}

/* Keeps records of class IN; EDNS' OPT only widens the rcode. */
static bool take_record(struct parse *parse, enum section section)
{
    struct dns_cursor *cursor = &parse->cursor;
    struct record record = {.section = section, .owner = cursor->at};
    struct dns_wire_name owner;
    uint16_t class;

    if (!dns_take_name(cursor, &owner) || !dns_take_u16(cursor, &record.type) ||
        !dns_take_u16(cursor, &class) || !dns_take_u32(cursor, &record.ttl) ||
        !dns_take_u16(cursor, &record.rdlength))
        return false;
    record.rdata = cursor->at;
    if (!dns_skip(cursor, record.rdlength))
        return false;
    if (record.type == TYPE_OPT)
        parse->rcode |= record.ttl >> 24 << 4;
    else if (class == CLASS_IN) {
        record.ttl = ttl_sane(record.ttl);
        parse->records[parse->count++] = record;
    }
    return true;
}

/* True if the question section is the one question asked. */
static bool take_question(struct parse *parse, uint16_t count)
{
    uint16_t type, class;

    if (count != 1 || !dns_take_name(&parse->cursor, &parse->current) ||
        !dns_take_u16(&parse->cursor, &type) || !dns_take_u16(&parse->cursor, &class))
        return false;
    if (type != parse->type || class != CLASS_IN)
        return false;
    struct dns_wire_name asked;

    dns_wire_name_from_text(parse->name, &asked);
    return dns_wire_name_equal(&asked, &parse->current);
}

/* Everything up to the records' meaning. Returns NULL or what is wrong. */
static const char *take_all(struct parse *parse)
{
    uint16_t id, flags, questions, counts[SECTIONS];
    size_t total = 0;

    if (!dns_take_u16(&parse->cursor, &id) || !dns_take_u16(&parse->cursor, &flags) ||
        !dns_take_u16(&parse->cursor, &questions))
        return "malformed response";
    for (size_t i = 0; i < SECTIONS; i++) {
        if (!dns_take_u16(&parse->cursor, &counts[i]))
            return "malformed response";
        total += counts[i];
    }
    if (!(flags & 0x8000) || (flags & 0x7800))
        return "not a response to a query";
    if (flags & 0x0200)
        return "truncated response";
    parse->authoritative = flags & 0x0400;
    parse->rcode = flags & 0xf;
    if (!take_question(parse, questions))
        return "response to another question";
    if (total > DNS_RECORDS_MAX)
        return "too many records in the response";
    if (total > 0 && !(parse->records = calloc(total, sizeof(*parse->records))))
        return "out of memory";
    for (size_t section = 0; section < SECTIONS; section++)
        for (size_t i = 0; i < counts[section]; i++)
            if (!take_record(parse, (enum section)section))
                return "malformed response";
    return NULL;
}

static const char *rcode_to_string(unsigned rcode)
{
    static const char *const words[] = {
        [1] = "FORMERR",
        [2] = "SERVFAIL",
        [4] = "NOTIMP",
        [5] = "REFUSED",
    };

    return rcode < ELEMENTS(words) && words[rcode] ? words[rcode] : "an error";
}

/* ---- answers ---- */

static const struct record *answer_of_type(const struct parse *parse, uint16_t type)
{
    for (size_t i = 0; i < parse->count; i++) {
        const struct record *record = &parse->records[i];

        if (record->section == SECTION_ANSWER && record->type == type &&
            record_owned_by(parse, record, &parse->current))
            return record;
    }
    return NULL;
}

/*
 * Follows aliases from the question's name as far as they lead. Canonical is the last that is a
 * host name.
 */
static const char *follow_chain(struct parse *parse)
{
    struct dns_message *message = parse->message;
    unsigned steps = parse->type == DNS_CNAME ? 1 : DNS_CHAIN_MAX;
    const struct record *alias;

    for (unsigned i = 0; (alias = answer_of_type(parse, DNS_CNAME)); i++) {
        char text[NAME_SIZE];

        if (i == steps)
            return parse->type == DNS_CNAME ? NULL : "too many aliases";
        if (!record_name(parse, alias, 0, &parse->current))
            return "malformed alias";
        ttl_lower(parse, alias->ttl);
        if (dns_wire_name_to_text(&parse->current, text) && text[0] != '\0')
            memcpy(message->canonical, text, sizeof(text));
        if (parse->type == DNS_CNAME)
            message->result.outcome = DNS_DATA;
    }
    return NULL;
}

static const char *collect_addresses(struct parse *parse)
{
    struct dns_message *message = parse->message;

    message->addresses = calloc(parse->count + 1, sizeof(*message->addresses));
    if (!message->addresses)
        return "out of memory";
    message->result.addresses = message->addresses;
    for (size_t i = 0; i < parse->count; i++) {
        const struct record *record = &parse->records[i];

        if (record->section != SECTION_ANSWER || record->type != parse->type ||
            !record_owned_by(parse, record, &parse->current))
            continue;
        if (!record_address(parse, record, &message->addresses[message->result.address_count++]))
            return "malformed address record";
        ttl_lower(parse, record->ttl);
    }
    if (message->result.address_count > 0)
        message->result.outcome = DNS_DATA;
    return NULL;
}

static const char *collect_pointer(struct parse *parse)
{
    struct dns_message *message = parse->message;
    const struct record *record = answer_of_type(parse, DNS_PTR);
    struct dns_wire_name target;

    if (!record)
        return NULL;
    if (!record_name(parse, record, 0, &target))
        return "malformed pointer record";
    if (!dns_wire_name_to_text(&target, message->pointer) || message->pointer[0] == '\0')
        return "pointer to something that is no host name";
    ttl_lower(parse, record->ttl);
    message->result.pointer = message->pointer;
    message->result.outcome = DNS_DATA;
    return NULL;
}

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Additional address records, of those owners alone that are targets. */
static const char *collect_extra(struct parse *parse)
{
    struct dns_message *message = parse->message;
    size_t targets = message->result.service_count;
    _cleanup_(freep) const char **names = calloc(targets + 1, sizeof(*names));

    message->extra = calloc(parse->count + 1, sizeof(*message->extra));
    if (!names || !message->extra)
        return "out of memory";
    message->result.extra = message->extra;
    for (size_t i = 0; i < targets; i++)
        names[i] = message->services[i].target;
    qsort(names, targets, sizeof(*names), name_compare);
    for (size_t i = 0; i < parse->count; i++) {
        const struct record *record = &parse->records[i];
        struct dns_extra *extra = &message->extra[message->result.extra_count];
        struct dns_cursor cursor = parse->cursor;
        const char *text = extra->name;
        struct dns_wire_name owner;

        if (record->section != SECTION_ADDITIONAL ||
            (record->type != DNS_A && record->type != DNS_AAAA))
            continue;
        cursor.at = record->owner;
        if (!dns_take_name(&cursor, &owner) || !dns_wire_name_to_text(&owner, extra->name) ||
            extra->name[0] == '\0' || !bsearch(&text, names, targets, sizeof(*names), name_compare))
            continue;
        if (!record_address(parse, record, &extra->address))
            return "malformed address record";
        ttl_lower(parse, record->ttl);
        message->result.extra_count++;
    }
    return NULL;
}

/* A target that is no host name is nothing one could connect to: left out. */
static const char *collect_services(struct parse *parse)
{
    struct dns_message *message = parse->message;
    bool seen = false;

    message->services = calloc(parse->count + 1, sizeof(*message->services));
    if (!message->services)
        return "out of memory";
    message->result.services = message->services;
    for (size_t i = 0; i < parse->count; i++) {
        const struct record *record = &parse->records[i];
        struct dns_srv *service = &message->services[message->result.service_count];
        struct dns_cursor cursor = parse->cursor;
        struct dns_wire_name target;

        if (record->section != SECTION_ANSWER || record->type != DNS_SRV ||
            !record_owned_by(parse, record, &parse->current))
            continue;
        cursor.at = record->rdata;
        if (!record_name(parse, record, 6, &target) || !dns_take_u16(&cursor, &service->priority) ||
            !dns_take_u16(&cursor, &service->weight) || !dns_take_u16(&cursor, &service->port))
            return "malformed service record";
        seen = true;
        ttl_lower(parse, record->ttl);
        if (dns_wire_name_to_text(&target, service->target))
            message->result.service_count++;
    }
    if (!seen)
        return NULL;
    if (message->result.service_count == 0)
        return "services at nothing that is a host name";
    message->result.outcome = DNS_DATA;
    return collect_extra(parse);
}

/* RFC 2308 5: the SOA's own TTL or its MINIMUM, whichever is less. */
static bool soa_ttl(const struct parse *parse, const struct record *record, uint32_t *ret_ttl)
{
    struct dns_cursor cursor = parse->cursor;
    struct dns_wire_name unused;
    uint32_t minimum;

    cursor.at = record->rdata;
    cursor.size = record->rdata + record->rdlength;
    if (!dns_take_name(&cursor, &unused) || !dns_take_name(&cursor, &unused) ||
        !dns_skip(&cursor, 16) || !dns_take_u32(&cursor, &minimum))
        return false;
    minimum = ttl_sane(minimum);
    *ret_ttl = minimum < record->ttl ? minimum : record->ttl;
    return true;
}

/* Nothing of the type asked for: how long does that hold, and is it said by one who knows? */
static const char *conclude_negative(struct parse *parse)
{
    struct dns_result *result = &parse->message->result;
    bool soa = false, referral = false;
    uint32_t ttl;

    for (size_t i = 0; i < parse->count; i++) {
        const struct record *record = &parse->records[i];

        if (record->section != SECTION_AUTHORITY)
            continue;
        referral = referral || record->type == TYPE_NS;
        if (record->type != TYPE_SOA)
            continue;
        if (!soa_ttl(parse, record, &ttl))
            return "malformed SOA record";
        soa = true;
        ttl_lower(parse, ttl);
    }
    if (!soa && referral && !parse->authoritative && parse->rcode == RCODE_NOERROR)
        return "a referral instead of an answer";
    if (!soa)
        parse->ttl = 0;
    result->outcome = parse->rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN : DNS_NODATA;
    return NULL;
}

static const char *interpret(struct parse *parse)
{
    const char *wrong = follow_chain(parse);

    if (wrong)
        return wrong;
    if (parse->rcode == RCODE_NXDOMAIN)
        return conclude_negative(parse);
    switch (parse->type) {
    case DNS_A:
    case DNS_AAAA:
        wrong = collect_addresses(parse);
        break;
    case DNS_PTR:
        wrong = collect_pointer(parse);
        break;
    case DNS_SRV:
        wrong = collect_services(parse);
        break;
    case DNS_CNAME:
        break;
    }
    if (!wrong && parse->message->result.outcome != DNS_DATA)
        wrong = conclude_negative(parse);
    return wrong;
}

static void message_init(struct dns_message *message, const char *name)
{
    *message = (struct dns_message){.result = {.outcome = DNS_NODATA, .text = ""}};
    snprintf(message->canonical, sizeof(message->canonical), "%s", name);
    message->result.canonical = message->canonical;
}

void dns_message_parse(const void *data, size_t size, const char *name, enum dns_type type,
                       struct dns_message *ret_message)
{
    struct parse parse = {
        .cursor = {data, size, 0},
        .name = name,
        .type = type,
        .ttl = TTL_MAX_SEC,
        .message = ret_message,
    };
    char text[sizeof(ret_message->text)];
    const char *wrong;

    message_init(ret_message, name);
    wrong = take_all(&parse);
    if (!wrong && parse.rcode != RCODE_NOERROR && parse.rcode != RCODE_NXDOMAIN) {
        snprintf(text, sizeof(text), "the server answered %s (rcode %u)",
                 rcode_to_string(parse.rcode), parse.rcode);
        wrong = text;
    }
    if (!wrong)
        wrong = interpret(&parse);
    if (wrong)
        fail(&parse, wrong);
    else
        ret_message->result.ttl = parse.ttl * USEC_PER_SEC;
    free(parse.records);
}

void dns_message_fail(struct dns_message *ret_message, const char *name, const char *text)
{
    message_init(ret_message, name);
    snprintf(ret_message->text, sizeof(ret_message->text), "%s", text);
    ret_message->result.outcome = DNS_FAILED;
    ret_message->result.text = ret_message->text;
}

void dns_message_local(struct dns_message *ret_message, const char *name,
                       const struct address *addresses, size_t count, usec_t ttl)
{
    message_init(ret_message, name);
    ret_message->addresses = calloc(count + 1, sizeof(*addresses));
    if (!ret_message->addresses) {
        dns_message_fail(ret_message, name, "out of memory");
        return;
    }
    if (count > 0)
        memcpy(ret_message->addresses, addresses, count * sizeof(*addresses));
    ret_message->result.addresses = ret_message->addresses;
    ret_message->result.address_count = count;
    ret_message->result.outcome = count > 0 ? DNS_DATA : DNS_NODATA;
    ret_message->result.ttl = ttl;
}

void dns_message_done(struct dns_message *message)
{
    free(message->addresses);
    free(message->services);
    free(message->extra);
    message->addresses = NULL;
    message->services = NULL;
    message->extra = NULL;
}

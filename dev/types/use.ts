// Uses the types that were made of the schemas as a program would: what is right compiles, what is wrong does not.
import type { OrderPlaced } from "./shop/order-placed.v1";
import type { OrderSent } from "./shop/order-sent.v2";

export const placed: OrderPlaced = {
    order_id: "1",
    total: 9.5,
    address: { street: "Long 1", city: null },
    others: [],
    payment: { by: "card", last_four: "1234" },
    amounts: { tea: 2 },
};
export const sent: OrderSent = { street: "Long 1" };

// @ts-expect-error an order without its total
export const without: OrderPlaced = { order_id: "1", address: sent, others: [], payment: { by: "cash" }, amounts: {} };
// @ts-expect-error a way to pay that there is not
export const unpaid: OrderPlaced = { ...placed, payment: { by: "cheque" } };
// @ts-expect-error a number for a text
export const numbered: OrderSent = { street: 1 };
